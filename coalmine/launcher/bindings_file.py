"""The bindings file: YAML, strictly read."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from coalmine._base.errors import InputError
from coalmine.launcher.bindings import REFERENCE, Binding, BoundParameter

__all__ = ["load_bindings"]

Word = Annotated[str, StringConstraints(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Parameter(_Strict):
    name: Word
    value: str
    default: str | None = None


class _Binding(_Strict):
    name: Word
    types: Annotated[list[Word], Field(min_length=1)]
    sources: list[Word] = []
    pipeline: Word
    engine: Word = "local"
    parameters: list[_Parameter]


class _File(_Strict):
    bindings: Annotated[list[_Binding], Field(min_length=1)]


def load_bindings(path: Path | None = None) -> tuple[Binding, ...]:
    """Read a bindings file; the one that comes with Coalmine unless told.

    Raises:
        InputError: The file cannot be read, or something in it is wrong; the message says where.
    """
    where = str(path or "the default bindings")
    try:
        default = files("coalmine.launcher") / "bindings.yaml"
        text = (path or default).read_text(encoding="utf-8")
        parsed = _File.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise InputError(_first(error), field=where, fix="see docs/event-contract.md") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot be read as YAML: {error}", field=where) from None
    for binding in parsed.bindings:
        _check(where, binding)
    return tuple(_made(binding) for binding in parsed.bindings)


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"]) or "the file"
    return f"{place}: {problem['msg']}"


def _check(where: str, binding: _Binding) -> None:
    names = [parameter.name for parameter in binding.parameters]
    place = f"{where}: bindings.{binding.name}.parameters"
    if "service" not in names:
        raise InputError("there is no service", field=place, fix="say which service is released to")
    if len(set(names)) != len(names):
        raise InputError("a name stands there twice", field=place)
    for parameter in binding.parameters:
        for text in (parameter.value, parameter.default or ""):
            if "$(" in REFERENCE.sub("", text):
                raise InputError(
                    f"{text!r} has a reference that is not known",
                    field=f"{place}.{parameter.name}",
                    fix="write $(body.field) or $(header.ce-attribute)",
                )


def _made(binding: _Binding) -> Binding:
    return Binding(
        name=binding.name,
        types=tuple(binding.types),
        sources=tuple(binding.sources),
        pipeline=binding.pipeline,
        engine=binding.engine,
        parameters=tuple(
            BoundParameter(one.name, one.value, one.default) for one in binding.parameters
        ),
    )
