"""YAML from anyone: a small file must not come to much in memory or time.

libyaml's loader ends the process on deep nesting; an alias of aliases multiplies what it names, in
``str()`` and in merges; and a number with thousands of colons takes minutes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["read_bounded"]

_LARGEST = 1 << 20
_DEEPEST = 100
_MOST_VALUES = 100_000
_LONG_NUMBER = re.compile(r"[-+]?[0-9][-+0-9_:.]{100,}")
# libyaml's loader takes a tenth of the time; it is not in every build of PyYAML.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bounded(path: Path) -> Any:  # noqa: ANN401 - as YAML gives it
    """Read a YAML file of at most 1 MiB.

    Raises:
        ValueError: It is no YAML, or comes to more than a file of its kind ever does.
        FileNotFoundError: It is not there, or is no file.
        OSError: It cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST} bytes")
    text = path.read_text(encoding="utf-8")
    try:
        _refuse_swelling(text)
        return yaml.load(text, _LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


@dataclass(slots=True)
class _Open:
    """A list or mapping that has not ended: its anchor, and how many values it has come to."""

    anchor: str | None
    values: int = 1


def _refuse_swelling(text: str) -> None:
    """Count values as if each alias were written out, without building any."""
    within, known = [_Open(None)], dict[str, int]()
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            within.append(_Open(event.anchor))
            if len(within) > _DEEPEST:
                raise ValueError("it is nested too deeply")
            continue
        values = _values(event, within, known)  # before its place, which it may change
        within[-1].values += values
        if within[-1].values > _MOST_VALUES:
            raise ValueError(f"it comes to more than {_MOST_VALUES} values")


def _values(event: yaml.Event, within: list[_Open], known: dict[str, int]) -> int:
    """Tell how many values end with an event, and note those that have a name."""
    anchor, values = None, 0
    if isinstance(event, yaml.CollectionEndEvent):
        ended = within.pop()
        anchor, values = ended.anchor, ended.values
    elif isinstance(event, yaml.ScalarEvent):
        if (event.implicit[0] or event.tag) and _LONG_NUMBER.fullmatch(event.value):
            raise ValueError("a number in it is of absurd length")
        anchor, values = event.anchor, 1
    elif isinstance(event, yaml.AliasEvent):
        if event.anchor not in known:
            raise ValueError(f"*{event.anchor} stands for nothing, or is within itself")
        return known[event.anchor]
    if anchor:
        known[anchor] = values
    return values
