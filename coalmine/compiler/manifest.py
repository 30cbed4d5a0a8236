"""A manifest: what a target is given, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coalmine.compiler.yamltext import yaml_text

__all__ = ["Manifest", "Place"]


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
        return comments + yaml_text(self.document)
