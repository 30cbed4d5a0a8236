"""Pipelines as Kubeflow Pipelines has them: a version for each digest, uploaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalmine.compiler.graph import Graph
from coalmine.engines.callback import Callback
from coalmine.engines.kfp.api import KfpApi
from coalmine.engines.kfp.package import graph_of, uncached, version_name, with_token

__all__ = ["Version", "Versions"]

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a pipeline, as it was uploaded.

    Attributes:
        pipeline_id: The pipeline's id.
        version_id: Its own.
        graph: The pipeline.
        text: What was uploaded.
    """

    pipeline_id: str
    version_id: str
    graph: Graph
    text: str

    @property
    def reference(self) -> dict[str, str]:
        """Name it as a run does."""
        return {"pipeline_id": self.pipeline_id, "pipeline_version_id": self.version_id}


class Versions:
    """The versions that runs are made of.

    Args:
        api: The installation.
        read_graph: Reads a pipeline file.
        callback: How tasks reach the launcher.
    """

    def __init__(
        self, api: KfpApi, read_graph: Callable[[Path], Graph], callback: Callback
    ) -> None:
        self._api = api
        self._read_graph = read_graph
        self._callback = callback
        self._uploading = threading.Lock()
        self._files: dict[str, tuple[Graph, str]] = {}
        self._versions: dict[str, Version] = {}

    def compiled(self, path: Path) -> tuple[Graph, str]:
        """Read a pipeline file: its graph, and what is uploaded."""
        text = path.read_text(encoding="utf-8")
        if text not in self._files:
            graph = self._read_graph(path)
            self._files[text] = (graph, with_token(uncached(text), self._callback, graph))
        return self._files[text]

    def forget(self) -> None:
        """Have all uploaded anew: somebody deleted one."""
        with self._uploading:
            self._versions.clear()

    def uploaded(self, graph: Graph, text: str, suffix: str = "") -> Version:
        """Give a version of this content, which is uploaded if there is none."""
        name = version_name(graph, text) + suffix
        with self._uploading:  # or each of many first runs would do it
            if name not in self._versions:
                pipeline = self._api.pipeline(graph.name)
                made = self._api.upload(pipeline, name, text)
                self._versions[name] = Version(pipeline, made, graph, text)
            return self._versions[name]

    def of(self, run: Object) -> Version:
        """Give the version that a run is of, whoever uploaded it."""
        reference = run["pipeline_version_reference"]
        key = str(reference["pipeline_version_id"])
        known = {one.version_id: one for one in tuple(self._versions.values())}
        if key not in known:
            pipeline = str(reference["pipeline_id"])
            graph, text = graph_of(self._api.spec(pipeline, key))
            self._versions[key] = known[key] = Version(pipeline, key, graph, text)
        return known[key]
