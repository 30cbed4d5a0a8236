"""YAML files that people write, read so strictly that a slip is named with its line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from coalmine._base.errors import InputError
from coalmine._base.yamlfile import LocatedYaml, read_located

__all__ = ["Part", "parse_strict", "read_text"]

T = TypeVar("T", bound=BaseModel)
FIXES = {"missing": "add it", "extra_forbidden": "remove it, or correct its name"}

SAID = {"model_type": "it is no mapping", "list_type": "it is no list"}


class Part(BaseModel):
    """A mapping of such a file; it takes no key that it does not know."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


def read_text(path: Path, what: str) -> str:
    """Read a file that a setting names.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("is no UTF-8 text", field=f"{what} {path}") from None
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", field=f"{what} {path}", fix="name one that can"
        ) from None


def parse_strict(text: str, source: str, model: type[T], *, see: str) -> tuple[T, LocatedYaml]:
    """Read a file's text into a model.

    Args:
        text: The file's.
        source: Its name for error messages.
        model: What it must be.
        see: The page that describes it.

    Returns:
        The model, and the lines on which its values stand.

    Raises:
        InputError: It is not that; the message names the line, the field and the fix.
    """
    located = read_located(text, source)
    try:
        return model.model_validate(located.value), located
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        line = located.line_of([one for one in first["loc"] if isinstance(one, str | int)])
        fix = FIXES.get(first["type"], "correct it")
        said = SAID.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        raise InputError(said, field=f"{source}:{line}: {place}", fix=f"{fix}; see {see}") from None
