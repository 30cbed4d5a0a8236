"""YAML that still knows on which line each of its values stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from coalmine._base.errors import InputError

__all__ = ["LocatedYaml", "read_located"]

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class LocatedYaml:
    """The content of a YAML file and the line of each value.

    Attributes:
        value: The content: mappings, lists and scalars.
        lines: Line by path of keys and indexes; the first line is 1.
    """

    value: Any
    lines: Mapping[Location, int]

    def line_of(self, location: Sequence[str | int]) -> int:
        """Give the line of a value; of what it would stand in, where it is not there."""
        place = tuple(location)
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_located(text: str, source: str) -> LocatedYaml:
    """Read one YAML document.

    Args:
        text: The document.
        source: Its name for error messages.

    Raises:
        InputError: It is no YAML, holds several documents, or a key stands twice.
    """
    lines: dict[Location, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _note_lines(node, (), lines, source)
        return LocatedYaml(value=yaml.safe_load(text), lines=lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(
            f"is no YAML: {error.problem}", field=f"{source}:{line}", fix="correct that line"
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"is no YAML: {error}", field=source, fix="write plain YAML") from None


def _note_lines(
    node: yaml.Node | None, place: Location, lines: dict[Location, int], source: str
) -> None:
    if node is None:
        return
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*place, index), lines, source)
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            _note_entry(key, item, place, lines, source)


def _note_entry(
    key: yaml.Node, item: yaml.Node, place: Location, lines: dict[Location, int], source: str
) -> None:
    name, line = str(key.value), key.start_mark.line + 1
    if (*place, name) in lines:
        raise InputError(
            "stands twice", field=f"{source}:{line}: {name}", fix="keep one of the two"
        )
    lines[(*place, name)] = line
    _note_lines(item, (*place, name), lines, source)
