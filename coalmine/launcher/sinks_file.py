"""The sinks file: where events go that need more than a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from coalmine.launcher.secret import Secret
from coalmine.launcher.sinks import (
    Sink,
    checked_extensions,
    make_sink,
    nothing,
    open_authorities,
    open_token,
)
from coalmine.launcher.strictfile import Part, parse_strict, read_text

__all__ = ["load_sinks"]

SEE = "docs/telling.md"
Word = Annotated[str, StringConstraints(min_length=1)]


class _Sink(Part):
    url: Word
    token_file: Word | None = None
    token_env: Word | None = None
    ca: Word | None = None
    extensions: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_one_token(self) -> Self:
        if self.token_file and self.token_env:
            raise ValueError("the token is in a file or in the environment; give one of them")
        return self


class _File(Part):
    sinks: Annotated[list[_Sink], Field(min_length=1)]


def load_sinks(path: Path, environ: Mapping[str, str]) -> tuple[Sink, ...]:
    """Read a sinks file, and the secrets that it names.

    Args:
        path: The file; relative paths in it begin at its folder.
        environ: The environment.

    Raises:
        InputError: The file, or what it names, is wrong; no message holds a secret.
    """
    parsed, _ = parse_strict(read_text(path, "the sinks file"), str(path), _File, see=SEE)
    base = path.parent.absolute()
    return tuple(_made(one, base, environ) for one in parsed.sinks)


def _made(one: _Sink, base: Path, environ: Mapping[str, str]) -> Sink:
    field = f"sink {one.url.partition('?')[0].rpartition('@')[2]}"
    token = nothing
    if one.token_file or one.token_env:
        file = base / one.token_file if one.token_file else None
        token = open_token(Secret(file, one.token_env or "", field=field), environ)
    authorities = open_authorities(base / one.ca, field) if one.ca else nothing
    extensions = checked_extensions(one.extensions, field)
    return make_sink(field, one.url, extensions, token, authorities)
