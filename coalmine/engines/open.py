"""The engines of a launcher, opened by their words; what one needs is imported only for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.engines.callback import VARIABLE, read_callback
from coalmine.engines.protocol import Engine
from coalmine.engines.settings import NAMES, EngineSettings

__all__ = ["Far", "Opened", "make_engine", "open_engines"]

IN_CLUSTER = "http://ml-pipeline.kubeflow:8888"
"""The API of an installation in the namespace that its manifests name, from within the cluster."""
ReadGraph = Callable[[Path], Graph]


class Opened(Engine, Protocol):
    """An engine that is opened before it is used."""

    def open(self) -> None:
        """Be ready; raises `CoalmineError` if that cannot be."""

    def close(self) -> None:
        """Let go."""


class Far(Opened, Protocol):
    """An engine that is not of this machine."""

    def probe(self) -> str:
        """Say where it is, if runs could be made there.

        Raises:
            CoalmineError: They could not; says why.
        """


def make_engine(name: str, settings: EngineSettings, read_graph: ReadGraph) -> Far:
    """Make an engine that is not of this machine; nothing is sent yet.

    Raises:
        InputError: There is no such engine, or its settings or packages are missing.
    """
    if name in {"tekton", "argo"}:
        return _on_kubernetes(name, settings, read_graph)
    if name == "kfp":
        return _on_kfp(settings, read_graph)
    raise InputError(
        f"there is no engine {name}", field="--engine", fix=f"use one of: {', '.join(NAMES)}"
    )


def _on_kfp(settings: EngineSettings, read_graph: ReadGraph) -> Far:
    from coalmine.engines.kfp import KfpEngine  # noqa: PLC0415 - only where it is asked for
    from coalmine.engines.kfp.api import KfpApi  # noqa: PLC0415
    from coalmine.engines.kfp.token import pod_token  # noqa: PLC0415

    token = settings.kfp_token_file or pod_token()
    api = KfpApi(settings.kfp_host or IN_CLUSTER, settings.namespace, token)
    return KfpEngine(
        api,
        read_graph,
        experiment=settings.kfp_experiment,
        account=settings.account,
        callback=read_callback(settings.tasks_url, settings.tasks_secret),
    )


def _on_kubernetes(name: str, settings: EngineSettings, read_graph: ReadGraph) -> Far:
    try:
        from coalmine.engines.kube.connect import connect  # noqa: PLC0415 - imports an extra
    except ImportError:
        raise InputError(
            "speaking to Kubernetes needs lightkube",
            field="--engine",
            fix='pip install "coalmine[kubernetes]"',
        ) from None
    from coalmine.engines.argo import Argo  # noqa: PLC0415
    from coalmine.engines.kube.engine import KubeEngine  # noqa: PLC0415
    from coalmine.engines.tekton import Tekton  # noqa: PLC0415

    callback = read_callback(settings.tasks_url, settings.tasks_secret)
    if callback.secret and not settings.embedded:
        raise InputError(
            "a pipeline that the cluster has cannot be given the token from here",
            field="--tasks-secret",
            fix=f"let runs carry their pipeline, or give its tasks {VARIABLE} in the cluster's own",
        )
    return KubeEngine(
        Tekton() if name == "tekton" else Argo(),
        connect(settings),
        read_graph,
        embedded=settings.embedded,
        account=settings.account,
        callback=callback,
    )


@contextlib.contextmanager
def open_engines(
    names: Collection[str], settings: EngineSettings, read_graph: ReadGraph, local: Opened
) -> Iterator[Mapping[str, Engine]]:
    """Open engines, and let go of them in the end.

    Args:
        names: Their words.
        settings: Where they are.
        read_graph: Reads a pipeline file.
        local: The engine of this machine.

    Raises:
        InputError: There is no such engine, or its settings or packages are missing.
        CoalmineError: One cannot be opened.
    """
    found: dict[str, Engine] = {}
    with contextlib.ExitStack() as stack:
        for name in names:
            engine = local if name == local.name else make_engine(name, settings, read_graph)
            engine.open()
            stack.callback(engine.close)
            found[name] = engine
        yield found
