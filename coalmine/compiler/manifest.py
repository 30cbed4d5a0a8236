"""A manifest: what a target is given, and how it is written down.

Every text value is quoted unless it cannot be anything but text: Kubernetes reads YAML with a
parser for which ``y``, ``1e3`` and ``0o7`` are no strings, and PyYAML would leave those bare.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Manifest", "Place"]

SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_./ -]*")
ODD_BREAK = re.compile("[\r\x85\u2028\u2029]")
"""Breaks that not every parser takes for the same."""
WIDTH = 10_000
"""Lines are not broken: every parser reads an unbroken text the same."""
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, for errors: ``task 'build', argument 'context'``.

    Attributes:
        task: The task; empty for the pipeline itself.
        what: The argument, variable or field.
        target: The target that cannot take it.
    """

    task: str
    what: str
    target: str

    def __str__(self) -> str:
        where = f"task {self.task!r}" if self.task else "the pipeline"
        return f"{where}, {self.what}, target {self.target}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a graph became for one target.

    Attributes:
        document: The Kubernetes object, as plain data in the order it is written.
        notes: What the target cannot say or its user has to see to, a sentence each.
    """

    document: dict[str, Any]
    notes: tuple[str, ...] = ()

    def to_yaml(self, *, header: tuple[str, ...] = ()) -> str:
        """Write it as YAML, the header and the notes before it as comments.

        Args:
            header: Lines of a comment, without a ``#``.
        """
        notes = tuple(f"Note: {note}" for note in self.notes)
        comments = "".join(f"# {line}\n" for line in (*header, *notes))
        body: str = yaml.dump(
            self.document, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True
        )
        return comments + body


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - equal parts are written out
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if SAFE.fullmatch(text) and text.lower() not in WORDS and not text.endswith(" "):
        return None
    # PyYAML quotes a block that holds anything which a block cannot.
    return "|" if "\n" in text[:-1] and not ODD_BREAK.search(text) else '"'


_Dumper.add_representer(str, _text)
