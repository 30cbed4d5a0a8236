"""Where in a file something stands: looked up only once there is an error to tell."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from coalmine.compiler.ir.document import PARSER

__all__ = ["find_line"]

LONGEST = 2**20


def find_line(text: str, place: tuple[str, ...]) -> int | None:
    """Find the line of a key, from 1.

    Args:
        text: A compiled pipeline that is well-formed YAML.
        place: The last keys on the way to it; what is behind the deepest key there is, is left
            out, because a field that is missing stands nowhere.

    Returns:
        None where no key or more than one is meant, or the file is very long.
    """
    if not place or len(text) > LONGEST:
        return None
    nodes = yaml.compose_all(text, PARSER)
    known = [entry for node in nodes if node is not None for entry in _keys(node, ())]
    for length in range(len(place), 0, -1):
        lines = [line for path, line in known if path[-length:] == place[:length]]
        if lines:
            return lines[0] if len(lines) == 1 else None
    return None


def _keys(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Walk over every key and every item, each with the way to it."""
    entries: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        entries = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        entries = [(str(number), value, value) for number, value in enumerate(node.value)]
    for name, place, value in entries:
        way = (*path, name)
        yield way, place.start_mark.line + 1
        yield from _keys(value, way)
