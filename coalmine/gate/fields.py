"""The kinds of values in a policy file: how each is read, and how its JSON schema says so."""

from __future__ import annotations

import re
from typing import Annotated, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.fields import FieldInfo

from coalmine.gate.duration import parse_duration
from coalmine.gate.template import check_template

__all__ = [
    "Confidence",
    "Count",
    "Counter",
    "MisfitError",
    "Name",
    "Number",
    "Part",
    "Probability",
    "Quantile",
    "Query",
    "Seconds",
    "Share",
    "Slower",
    "known",
    "one_of",
]


class MisfitError(ValueError):
    """What does not fit together.

    Args:
        text: What is wrong, a semicolon, and what to write instead.
        at: The field to change, from the mapping that is checked.
    """

    def __init__(self, text: str, *at: str | int) -> None:
        super().__init__(text)
        self.at = at


NAME = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
LONGEST_NAME = 63


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value) or len(value) > LONGEST_NAME:
        raise ValueError(
            "is no name; write 1 to 63 small letters, digits, '-' and '_', "
            "with a letter or digit at either end"
        )
    return value


def _query(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is no query; write a PromQL expression in a string")
    check_template(value)
    return value.strip()


def _counter(value: object) -> str:
    if not isinstance(value, str) or "${revision}" not in value:
        raise ValueError(
            "does not name the revision; write PromQL in a string that names it "
            'as "${revision}", which is the canary and then stable'
        )
    check_template(value.replace("${revision}", "${canary}"))
    return value.strip()


Name = Annotated[
    str,
    BeforeValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$", "maxLength": LONGEST_NAME}),
]
Query = Annotated[
    str, BeforeValidator(_query), WithJsonSchema({"type": "string", "pattern": r"\S"})
]
Counter = Annotated[
    str,
    BeforeValidator(_counter),
    WithJsonSchema({"type": "string", "pattern": r"\$\{revision\}"}),
]
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^([0-9]{1,9}(ms|[dhms]))+$",
            "examples": ["20s", "10m", "1h30m"],
        }
    ),
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
Quantile = Annotated[float, Field(strict=True, gt=0, lt=1)]
Slower = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(strict=True, gt=0, le=0.5)]
Confidence = Annotated[float, Field(strict=True, ge=0.5, lt=1)]
Count = Annotated[int, Field(strict=True, ge=1)]


def known(*words: str) -> FieldInfo:
    """Name the words that a field takes, for editors; its model's validator tells them."""
    return cast("FieldInfo", Field(json_schema_extra={"enum": list(words)}))


def one_of(*fields: str) -> ConfigDict:
    """Say in a model's JSON schema that exactly one of some fields is given."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in fields]})


class Part(BaseModel):
    """A mapping of the file: no field but those it knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
