"""The nodes of a Workflow, by the pipeline's tasks."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Node", "nodes_of", "own_nodes"]

Object = Mapping[str, Any]
TASKS = {"Pod", "Retry", "Skipped"}
KEPT = (
    "id", "name", "displayName", "type", "templateName", "phase", "message", "startedAt",
    "finishedAt", "outputs", "children", "nodeFlag",
)  # fmt: skip


class Node(NamedTuple):
    """What there is of one task.

    Attributes:
        whole: The node that stands for it.
        tries: The nodes of its pods, the oldest first.
    """

    whole: Object
    tries: tuple[Object, ...]


def nodes_of(status: Object) -> dict[str, dict[str, Any]]:
    """Give the nodes of a status by their ids, with what is needed of each.

    Argo keeps those of a large workflow compressed (``compressedNodes``: base64 of gzip of JSON).
    """
    found = status.get("nodes") or _unpacked(status.get("compressedNodes", ""))
    return {key: {name: one[name] for name in KEPT if name in one} for key, one in found.items()}


def _unpacked(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    except (ValueError, OSError, EOFError, binascii.Error):
        return {}
    return found


def own_nodes(run: Object) -> dict[str, Node]:
    """Find the node of each task; those of single tries and of groups stand for none."""
    nodes: Mapping[str, Object] = run["status"]["nodes"]
    tries = {child for one in nodes.values() if one["type"] == "Retry" for child in _children(one)}
    return {
        _task(one): Node(one, _tries(one, nodes))
        for key, one in nodes.items()
        if one["type"] in TASKS and key not in tries
    }


def _children(node: Object) -> tuple[str, ...]:
    return tuple(node.get("children") or ())


def _task(node: Object) -> str:
    # The exit handler's node is named by the workflow: release-x.onExit.
    is_exit = str(node["displayName"]).endswith(".onExit")
    return str(node["templateName" if is_exit else "displayName"])


def _tries(node: Object, nodes: Mapping[str, Object]) -> tuple[Object, ...]:
    if node["type"] == "Pod":
        return (node,)
    if node["type"] != "Retry":
        return ()
    found = [nodes[key] for key in _children(node) if key in nodes]
    pods = [one for one in found if one["type"] == "Pod" and one.get("nodeFlag", {}).get("retried")]
    return tuple(sorted(pods, key=lambda one: str(one.get("startedAt"))))
