"""Which events start a pipeline and with what, as the event systems of Tekton and Argo need it.

Neither system can be told to escape a value: Tekton expands ``$(...)`` and Argo ``{{...}}`` inside
of what an event says. So a value is taken only if it is made of characters that no engine reads as
its own language; any other event starts nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coalmine._base.errors import InputError

__all__ = [
    "ID_LENGTH",
    "LONGEST_VALUE",
    "SHORT_ID",
    "UUID4",
    "VALUE_CHARACTERS",
    "Field",
    "Rule",
    "Text",
    "parse_text",
]

VALUE_CHARACTERS = "A-Za-z0-9._:/@+,="
"""Of a value, beside the dash."""
LONGEST_VALUE = 253
ID_LENGTH = 15
SHORT_ID = f"[a-z0-9]{{1,{ID_LENGTH}}}"
UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""Its first 15 digits are random but for one, so that they still tell events apart."""
REFERENCE = re.compile(r"\$\((body|header)\.([A-Za-z0-9_.-]+)\)")
LITERAL = re.compile(rf"[{VALUE_CHARACTERS} -]*")


@dataclass(frozen=True, slots=True)
class Field:
    """A place in the event: an attribute, or a field of the data.

    Attributes:
        header: Whether it is an attribute.
        path: The attribute's header, such as ``ce-type``, or the keys down to the field.
    """

    header: bool
    path: tuple[str, ...]


Text = tuple[str | Field, ...]
"""A value: literals and fields in a row."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which events start the pipeline.

    Attributes:
        name: For names of objects: a legal name.
        pipeline: The name of the pipeline it starts.
        types: Patterns of the event types it takes, with ``*`` for any text.
        sources: Patterns of the event sources it takes; empty for all.
        subjects: Patterns of the event subjects it takes; empty for all.
        parameters: For each parameter its name, its value and what it is when a field of the
            value is missing; None where the field must be there.
        id_parameter: The parameter that gets the id made from the event's; empty if none does.
    """

    name: str
    pipeline: str
    types: tuple[str, ...]
    sources: tuple[str, ...]
    parameters: tuple[tuple[str, Text, Text | None], ...]
    id_parameter: str = ""
    subjects: tuple[str, ...] = ()

    def wanted(self) -> list[tuple[str, tuple[str, ...]]]:
        """Name the attributes that decide, each with its patterns."""
        kinds = (
            ("ce-type", self.types),
            ("ce-source", self.sources),
            ("ce-subject", self.subjects),
        )
        return [(name, patterns) for name, patterns in kinds if patterns]

    def fields(self) -> list[tuple[Field, bool]]:
        """Name every field once, and whether it must be there."""
        needed: dict[Field, bool] = {}
        for _, value, default in self.parameters:
            for text, must in ((value, default is None), (default or (), False)):
                for part in text:
                    if isinstance(part, Field):
                        needed[part] = needed.get(part, False) or must
        return list(needed.items())


def parse_text(text: str, *, place: str) -> Text:
    """Read a value of the bindings file.

    Raises:
        InputError: It has a reference that is not known, or a literal that an engine would read.
    """
    parts: list[str | Field] = []
    end = 0
    for match in REFERENCE.finditer(text):
        parts.append(text[end : match.start()])
        header = match[1] == "header"
        parts.append(Field(header, (match[2],) if header else tuple(match[2].split("."))))
        end = match.end()
    parts.append(text[end:])
    if wrong := next((p for p in parts if isinstance(p, str) and not LITERAL.fullmatch(p)), None):
        raise InputError(
            f"{wrong!r} cannot be passed on by every engine",
            field=place,
            fix="use letters, digits, blanks and . _ : / @ + , = - beside references",
        )
    return tuple(part for part in parts if part)
