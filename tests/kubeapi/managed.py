"""Managed fields: who wrote which field last.

Lists count as one field, as `containers` of an InferenceService does.
"""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["manage"]

_SERVERS_OWN = {
    ("metadata", name)
    for name in ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
}
_NAMES = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
Path = tuple[str, ...]


def _leaves(node: Any, path: Path = ()) -> dict[Path, Any]:
    if not isinstance(node, dict) or not node:
        return {path: node} if path else {}
    found: dict[Path, Any] = {}
    for key, value in node.items():
        found |= _leaves(value, (*path, key))
    return found


def _written(before: dict[str, Any], after: dict[str, Any]) -> set[Path]:
    old, new = _leaves(before), _leaves(after)
    return {
        path
        for path in new
        if new[path] != old.get(path)
        and path[:2] not in _SERVERS_OWN
        and path
        not in {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
    }


def _paths(fields: dict[str, Any], path: Path = ()) -> set[Path]:
    if not fields:
        return {path}
    return {found for key, rest in fields.items() for found in _paths(rest, (*path, key[2:]))}


def _fields(paths: set[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for token in path:
            node = node.setdefault(f"f:{token}", {})
    return tree


def manage(
    before: dict[str, Any], after: dict[str, Any], manager: str, subresource: str, now: str
) -> None:
    """Enter into `after` that a manager wrote what differs from `before`."""
    written = _written(before, after)
    entries = copy.deepcopy(before.get("metadata", {}).get("managedFields", []))
    mine = None
    for entry in entries:
        same = entry["manager"] == manager and entry.get("subresource", "") == subresource
        kept = (_paths(entry["fieldsV1"]) - written) & _leaves(after).keys()
        if same:
            mine, kept = entry, kept | written
        entry["fieldsV1"] = _fields(kept)
        if same and written:
            entry["time"] = now
    if mine is None and written:
        entry = {"manager": manager, "operation": "Update", "apiVersion": after["apiVersion"]}
        entry |= {"time": now, "fieldsType": "FieldsV1", "fieldsV1": _fields(written)}
        entries.append(entry | ({"subresource": subresource} if subresource else {}))
    after["metadata"]["managedFields"] = [entry for entry in entries if entry["fieldsV1"]]
