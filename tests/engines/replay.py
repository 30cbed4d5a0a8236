"""What was recorded on real clusters, played again under the name of a run of ours."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coalmine.engines.kube.dialect import name_of
from coalmine.engines.kube.mirror import RELEASE
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi

__all__ = ["RUN", "entries", "play", "recorded"]

RUN = "r1"
RECORDINGS = Path(os.environ.get("COALMINE_SHARED", "/nowhere")) / "recordings"


def entries(name: str) -> list[dict[str, Any]]:
    """What stands in a recording."""
    path = RECORDINGS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the recordings of real clusters are not here")
    return [json.loads(line) for line in path.read_text().splitlines()]


def recorded(name: str) -> list[dict[str, Any]]:
    """The runs and tasks of a recording as they changed, renamed to be those of `RUN`."""
    objects = [one["object"] for one in entries(name) if "object" in one]
    kinds = ("PipelineRun", "Workflow")
    first = next(one["metadata"]["name"] for one in objects if one["kind"] in kinds)
    return [_renamed(one, first) for one in objects if one["metadata"]["name"].startswith(first)]


def _renamed(item: dict[str, Any], name: str) -> dict[str, Any]:
    renamed: dict[str, Any] = json.loads(json.dumps(item).replace(name, name_of(RUN)))
    renamed["metadata"].setdefault("labels", {})[RELEASE] = RUN
    return renamed


def _with_spec(spec: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    return now | {"spec": spec}


def play(api: KubeApi, name: str, namespace: str = "ci") -> Iterator[dict[str, Any]]:
    """Write a recording into an API server, change by change."""
    for item in recorded(name):
        kind = kind_of(item["apiVersion"], item["kind"])
        named = copy.deepcopy(item)
        status = named.pop("status", None)
        for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
            named["metadata"].pop(field, None)
        known = {one["metadata"]["name"] for one in api.store.list(kind, namespace)[0]}
        if named["metadata"]["name"] in known:
            made = api.store.update(
                kind,
                namespace,
                named["metadata"]["name"],
                partial(_with_spec, named["spec"]),
            )
        else:
            made = api.store.create(named, namespace)
        if status:
            api.store.set_status(made, status)
        yield item
