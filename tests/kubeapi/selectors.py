"""Label and field selectors, as lists and watches take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.kubeapi.status import bad_request

__all__ = ["selector"]

Test = Callable[[dict[str, Any]], bool]


def selector(query: Mapping[str, str]) -> Test:
    """Make a test of objects from ``labelSelector`` and ``fieldSelector``.

    Raises:
        ApiError: 400, for what this server does not understand.
    """
    labels = [_label(part) for part in _split(query.get("labelSelector", ""))]
    fields = [_field(part) for part in _split(query.get("fieldSelector", ""))]
    return lambda item: all(test(item) for test in (*labels, *fields))


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label(part: str) -> Test:
    if found := re.fullmatch(r"([\w./-]+)\s*(?:==?)\s*([\w.-]*)", part):
        key, value = found.groups()
        return lambda item: _labels(item).get(key) == value
    if found := re.fullmatch(r"([\w./-]+)\s*!=\s*([\w.-]*)", part):
        other, unwanted = found.groups()
        return lambda item: _labels(item).get(other) != unwanted
    if found := re.fullmatch(r"([\w./-]+)\s+in\s+\(([^)]*)\)", part):
        among, values = found[1], {value.strip() for value in found[2].split(",")}
        return lambda item: _labels(item).get(among) in values
    if re.fullmatch(r"!?[\w./-]+", part):
        name, wanted = part.removeprefix("!"), not part.startswith("!")
        return lambda item: (name in _labels(item)) == wanted
    raise bad_request(f"unable to parse requirement: {part}")


def _labels(item: dict[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = item["metadata"].get("labels") or {}
    return found


def _field(part: str) -> Test:
    path, sign, value = part.partition("=")
    if not sign or path.endswith("!"):
        raise bad_request(f"unable to parse field selector: {part}")

    def test(item: dict[str, Any]) -> bool:
        node: Any = item
        for token in path.split("."):
            node = node.get(token, "") if isinstance(node, dict) else ""
        return str(node) == value.removeprefix("=")

    return test
