"""What a loop goes over, as texts: the list is read, and each item is written for a task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.compare import read
from coalmine.compiler.jsontext import json_text, number_text
from coalmine.compiler.parameter import ParameterType

__all__ = ["item_text", "list_text", "read_items"]


def read_items(text: str, *, loop: str) -> list[Any]:
    """Read the list that a loop goes over.

    Raises:
        InputError: It is no JSON list.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise InputError(
            f"the loop {loop!r} goes over {text[:60]!r}, which is no list",
            fix='give a JSON list, such as ["a", "b"]',
        )
    return found


def item_text(item: Any, path: Sequence[str], *, loop: str) -> str:  # noqa: ANN401 - whatever JSON holds
    """Write an item, or what stands in it under keys, as the text that a task gets.

    Raises:
        InputError: It has no such key.
    """
    for key in path:
        if not isinstance(item, dict) or key not in item:
            raise InputError(
                f"the loop {loop!r} takes {key!r} of {json.dumps(item)[:60]}, which has none",
                fix="give every item the same keys",
            )
        item = item[key]
    match item:
        case str():
            return item
        case int() | float() if not isinstance(item, bool):
            return number_text(item)
        case _:
            return json_text(item)


def list_text(texts: Sequence[str], kind: ParameterType) -> str:
    """Write texts of values of a type as a JSON list."""
    if kind is ParameterType.STRING:
        return json_text(list(texts))
    if kind is ParameterType.BOOLEAN:
        return json_text([read(text, kind) for text in texts])
    return json_text([json.loads(text) for text in texts])
