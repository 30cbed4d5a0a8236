"""The bindings file: YAML, strictly read."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from coalmine._base.errors import InputError
from coalmine._base.yamlfile import LocatedYaml
from coalmine.launcher.bindings import Binding, BoundParameter
from coalmine.launcher.bound import REFERENCE
from coalmine.launcher.filter import compile_filter
from coalmine.launcher.release import Conflict
from coalmine.launcher.strictfile import Part, parse_strict, read_text

__all__ = ["bindings_schema", "load_bindings"]

SEE = "docs/bindings.md"
Word = Annotated[str, StringConstraints(min_length=1)]
Words = Annotated[list[Word], Field(min_length=1)]
TIME = re.compile(r"([1-9][0-9]{0,6})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Parameter(Part):
    name: Word
    """The pipeline's name for it."""
    value: str
    """Text with references such as $(body.name) and $(header.ce-source)."""
    default: str | None = None
    """Used when a field of the value is missing or null."""


class _Binding(Part):
    name: Word
    """For logs and answers."""
    types: Words
    """The event types it takes; * is any text."""
    sources: Words | None = None
    """The event sources it takes; any unless given."""
    subjects: Words | None = None
    """The event subjects it takes; any unless given."""
    filter: Word | None = None
    """A CEL expression on body and header that is true for the events it takes."""
    pipeline: Word
    """The name of the compiled pipeline."""
    pipelines: Words | None = None
    """Other compiled pipelines, which an event may ask for by name; they take the same values."""
    engine: Word = "local"
    """Where the pipeline runs."""
    on_conflict: Annotated[Conflict, Field(strict=False)] = Conflict.QUEUE
    """What becomes of a release whose service has one that has not ended."""
    same_within: Annotated[str, StringConstraints(pattern=f"^{TIME.pattern}$")] | None = None
    """A time such as 10m, within which the same type, subject and data are the same release."""
    parameters: list[_Parameter]
    """How the pipeline's parameters get their values."""

    @field_validator("parameters")
    @classmethod
    def _are_whole(cls, parameters: list[_Parameter]) -> list[_Parameter]:
        names = [parameter.name for parameter in parameters]
        if "service" not in names:
            raise ValueError("there is no service: say which service is released to")
        if len(set(names)) != len(names):
            raise ValueError("a name stands there twice")
        return parameters


class _File(Part):
    bindings: Annotated[list[_Binding], Field(min_length=1)]
    """The first that takes an event wins."""

    @field_validator("bindings")
    @classmethod
    def _are_named_apart(cls, bindings: list[_Binding]) -> list[_Binding]:
        names = [binding.name for binding in bindings]
        if len(set(names)) != len(names):
            raise ValueError("two bindings have the same name")
        return bindings


def load_bindings(path: Path | None = None) -> tuple[Binding, ...]:
    """Read a bindings file; the one that comes with Coalmine unless told.

    Raises:
        InputError: The file cannot be read, or something in it is wrong; the message says where.
    """
    if path is None:
        source = "the default bindings"
        text = (files("coalmine.launcher") / "bindings.yaml").read_text(encoding="utf-8")
    else:
        source = str(path)
        text = read_text(path, "the bindings file")
    parsed, located = parse_strict(text, source, _File, see=SEE)
    return tuple(
        _made(binding, _Place(source, located, number))
        for number, binding in enumerate(parsed.bindings)
    )


def bindings_schema() -> dict[str, Any]:
    """Give the JSON schema of a bindings file, for editors."""
    return _File.model_json_schema()


class _Place:
    """Where a binding stands, for error messages."""

    def __init__(self, source: str, located: LocatedYaml, number: int) -> None:
        self._source = source
        self._located = located
        self._number = number

    def of(self, *keys: str | int) -> str:
        place = ("bindings", self._number, *keys)
        line = self._located.line_of(place)
        return f"{self._source}:{line}: {'.'.join(map(str, place))}"


def _made(binding: _Binding, place: _Place) -> Binding:
    for number, parameter in enumerate(binding.parameters):
        for key, text in (("value", parameter.value), ("default", parameter.default or "")):
            if "$(" in REFERENCE.sub("", text):
                raise InputError(
                    f"{text!r} has a reference that is not known",
                    field=place.of("parameters", number, key),
                    fix="write $(body.field), $(body.list[0]) or $(header.ce-attribute)",
                )
    try:
        compiled = compile_filter(binding.filter) if binding.filter else None
    except InputError as error:
        raise InputError(error.message, field=place.of("filter"), fix=error.fix) from None
    found = TIME.fullmatch(binding.same_within or "")
    return Binding(
        name=binding.name,
        types=tuple(binding.types),
        sources=tuple(binding.sources or ()),
        subjects=tuple(binding.subjects or ()),
        filter=compiled,
        pipeline=binding.pipeline,
        pipelines=tuple(binding.pipelines or ()),
        engine=binding.engine,
        on_conflict=binding.on_conflict,
        same_within=float(int(found[1]) * SECONDS[found[2]]) if found else 0.0,
        parameters=tuple(
            BoundParameter(one.name, one.value, one.default) for one in binding.parameters
        ),
    )
