"""JSON Patch and JSON merge patch, as the API server's Go library applies them.

RFC 6902 but for one thing that was recorded on a real server: `replace` on a member that an object
does not have adds it.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.kubeapi.status import ApiError, bad_patch

__all__ = ["json_patch", "merge_patch"]

_ABSENT = object()


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise bad_patch()
    return [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]


def _step(node: Any, token: str) -> Any:
    if isinstance(node, dict):
        return node.get(token, _ABSENT)
    if isinstance(node, list) and token.isdecimal() and int(token) < len(node):
        return node[int(token)]
    return _ABSENT


def _find(document: Any, tokens: list[str]) -> Any:
    for token in tokens:
        document = _step(document, token)
        if document is _ABSENT:
            return _ABSENT
    return document


def _parent(document: Any, tokens: list[str]) -> Any:
    parent = _find(document, tokens[:-1])
    if not tokens or not isinstance(parent, dict | list):
        raise bad_patch()
    return parent


def _add(document: Any, tokens: list[str], value: Any) -> None:
    parent, last = _parent(document, tokens), tokens[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif last == "-":
        parent.append(value)
    elif last.isdecimal() and int(last) <= len(parent):
        parent.insert(int(last), value)
    else:
        raise bad_patch()


def _remove(document: Any, tokens: list[str]) -> Any:
    parent, last = _parent(document, tokens), tokens[-1]
    found = _step(parent, last)
    if found is _ABSENT:
        raise bad_patch()
    del parent[last if isinstance(parent, dict) else int(last)]
    return found


def _replace(document: Any, tokens: list[str], value: Any) -> None:
    parent, last = _parent(document, tokens), tokens[-1]
    if isinstance(parent, list) and _step(parent, last) is _ABSENT:
        raise bad_patch()
    parent[last if isinstance(parent, dict) else int(last)] = value


def _apply(document: Any, operation: dict[str, Any]) -> None:
    tokens = _tokens(operation["path"])
    match operation["op"]:
        case "test":
            found = _find(document, tokens)
            wanted = operation.get("value")
            if (None if found is _ABSENT else found) != wanted:
                raise bad_patch()
        case "add":
            _add(document, tokens, operation["value"])
        case "replace":
            _replace(document, tokens, operation["value"])
        case "remove":
            _remove(document, tokens)
        case "move":
            _add(document, tokens, _remove(document, _tokens(operation["from"])))
        case "copy":
            _add(document, tokens, copy.deepcopy(_find(document, _tokens(operation["from"]))))
        case _:
            raise bad_patch()


def json_patch(document: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Apply a JSON Patch to a copy.

    Raises:
        ApiError: 422, in the server's bare words; a failed test gives no other.
    """
    patched = copy.deepcopy(document)
    if not isinstance(operations, list):
        raise bad_patch()
    try:
        for operation in operations:
            _apply(patched, copy.deepcopy(operation))
    except ApiError:
        raise
    except (KeyError, TypeError, IndexError) as error:
        raise bad_patch() from error
    return patched


def merge_patch(document: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386) to a copy."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
