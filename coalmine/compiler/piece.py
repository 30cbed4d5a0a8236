"""What the command line of a task is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coalmine.compiler.value import RunFact

__all__ = [
    "ArtifactPath",
    "ExecutorText",
    "InputRef",
    "OutputPath",
    "Part",
    "Piece",
]


@dataclass(frozen=True, slots=True)
class InputRef:
    """The place in a command line where a task's input goes."""

    name: str


@dataclass(frozen=True, slots=True)
class OutputPath:
    """The place in a command line where the path of a file to write an output to goes."""

    name: str


@dataclass(frozen=True, slots=True)
class ArtifactPath:
    """The place in a command line where the path of an artifact goes: to read, or to write."""

    name: str
    made: bool = False


class ExecutorText(StrEnum):
    """The place in a command line where KFP's executor input goes, or the path of its output."""

    INPUT = "input"
    OUTPUT = "output"


Part = str | InputRef | OutputPath | ArtifactPath | ExecutorText | RunFact
Piece = tuple[Part, ...]
"""One argument: its parts are joined without a separator."""
