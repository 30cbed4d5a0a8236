"""Plain data as YAML: in blocks, in the order it has, each equal part written out.

Every text is quoted unless it cannot be anything but text: Kubernetes reads YAML with a parser for
which ``y``, ``1e3`` and ``0o7`` are no strings. A text of several lines is written as lines. No
line is broken: every parser reads an unbroken text the same.

A library would do, but for time: what a manifest holds is so plain that writing it this way takes
a twentieth of what PyYAML's emitter takes, which was most of the time of compiling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["yaml_text"]

SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_./ -]*(?<! )")
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
PRINTED = r" -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
"""The rest is no character to see, or a line break only to some parsers."""
NO_BLOCK = re.compile(rf"[^\n{PRINTED}]| $", re.MULTILINE)
"""What a text as lines cannot hold, or what an editor would take off there."""
QUOTED = re.compile(rf'["\\]|[^{PRINTED}]')
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def yaml_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write mappings, lists, texts, numbers, booleans and None, with a final newline.

    Raises:
        TypeError: It holds something else.
    """
    if not value:
        return f"{_scalar(value, '')}\n"
    lines: list[str] = []
    _add(value, "", lines)
    lines.append("")
    return "\n".join(lines)


def _add(value: Mapping[str, Any] | Sequence[Any], pad: str, lines: list[str]) -> None:
    if isinstance(value, dict):
        _add_mapping(value, pad, lines)
    else:
        _add_list(value, pad, lines)


def _add_mapping(value: Mapping[str, Any], pad: str, lines: list[str]) -> None:
    inner = f"{pad}  "
    for key, item in value.items():
        name = key if SAFE.fullmatch(key) and key.lower() not in WORDS else _quoted(key)
        if item and isinstance(item, dict | list | tuple):
            lines.append(f"{pad}{name}:")
            _add(item, inner, lines)
        else:
            lines.append(f"{pad}{name}: {_scalar(item, inner)}")


def _add_list(value: Any, pad: str, lines: list[str]) -> None:  # noqa: ANN401 - a list of anything
    inner = f"{pad}  "
    for item in value:
        if item and isinstance(item, dict | list | tuple):
            first = len(lines)
            _add(item, inner, lines)
            lines[first] = f"{pad}- {lines[first][len(inner) :]}"
        else:
            lines.append(f"{pad}- {_scalar(item, inner)}")


def _scalar(value: Any, pad: str) -> str:  # noqa: ANN401, PLR0911 - one for each kind
    match value:
        case str():
            return _text(value, pad)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if "." in repr(value) and "e" not in repr(value):
            return repr(value)
        case dict():
            return "{}"
        case list() | tuple():
            return "[]"
    raise TypeError(f"{value!r} has no place in a manifest")


def _text(text: str, pad: str) -> str:
    if SAFE.fullmatch(text) and text.lower() not in WORDS:
        return text
    if "\n" in text[:-1] and not NO_BLOCK.search(text):
        return _block(text, pad)
    return _quoted(text)


def _block(text: str, pad: str) -> str:
    """Write a text as lines, from the next line on; a blank at its very start has to be told."""
    head = "|2" if text[0] in " \n" else "|"
    head += "" if text.rstrip("\n") + "\n" == text else "+" if text.endswith("\n") else "-"
    lines = text.removesuffix("\n").split("\n")
    return "\n".join([head, *(f"{pad}{line}" if line else "" for line in lines)])


def _quoted(text: str) -> str:
    return f'"{QUOTED.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    if short := SHORT.get(match[0]):
        return short
    code = f"{ord(match[0]):04X}"
    return f"\\u{code}" if len(code) == 4 else f"\\U{code:0>8}"  # noqa: PLR2004 - digits
