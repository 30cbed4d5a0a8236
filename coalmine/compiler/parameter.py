"""What a pipeline or a task takes by name, and the types that its texts are read as."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "Parameter",
    "ParameterType",
]


class ParameterType(StrEnum):
    """The type of a parameter, in KFP IR's own words."""

    STRING = "STRING"
    INTEGER = "NUMBER_INTEGER"
    DOUBLE = "NUMBER_DOUBLE"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input of the pipeline or of a task.

    Attributes:
        name: As the pipeline's author wrote it.
        type: Its type; values travel as strings all the same.
        default: The value as a string when none is given; None where one must be given.
        description: For help texts.
        optional: It may be left without any value; what takes it is then left to its own default.
    """

    name: str
    type: ParameterType = ParameterType.STRING
    default: str | None = None
    description: str = ""
    optional: bool = False
