"""Find a gate policy and read it; every fault is named with its file, line and field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from coalmine._base.errors import InputError
from coalmine._base.yamlfile import LocatedYaml, read_located
from coalmine.gate.fields import MisfitError
from coalmine.gate.model import Policy
from coalmine.gate.schema import PolicyFile

__all__ = ["THRESHOLDS", "load_policy", "parse_policy", "shipped_policies"]

DEFAULT = "default"
THRESHOLDS = "thresholds"
"""The shipped policy that compares nothing."""
REFERENCE = "see docs/gate-policy.md for every field"
FIXES = {
    "missing": "add it",
    "extra_forbidden": "remove it",
    "literal_error": "write it as it is said there",
    "enum": "write one of these",
    "float_type": "write a number, without quotes or a unit",
    "int_type": "write a whole number, without quotes or a point",
    "bool_type": "write true or false",
    "finite_number": "write a number that is neither infinite nor NaN",
    "greater_than": "write a larger number",
    "greater_than_equal": "write a larger number",
    "less_than": "write a smaller number; parts are from 0 to 1, not percent",
    "less_than_equal": "write a smaller number; parts are from 0 to 1, not percent",
    "too_short": "add one",
    "model_type": "write fields and values, such as name: value",
    "tuple_type": "write a list, each item after a hyphen",
}


def load_policy(reference: str) -> Policy:
    """Read a policy.

    Args:
        reference: A path, a ``file://`` URL, or the name of a policy that comes with Coalmine; the
            empty string means ``default``.

    Raises:
        InputError: There is none, or it is wrong.
    """
    name = reference or DEFAULT
    shipped = shipped_policies()
    if name in shipped:
        return parse_policy(shipped[name], f"policy {name}")
    path = _path_of(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InputError(
            f"policy {reference} cannot be read: {reason}",
            field="policy",
            fix=f"give the path of a file, or one of {', '.join(sorted(shipped))}",
        ) from None
    return parse_policy(text, str(path))


def parse_policy(text: str, source: str) -> Policy:
    """Read a policy from its text.

    Args:
        text: YAML.
        source: Its name for error messages.

    Raises:
        InputError: It is wrong; the first fault is named, and how many more there are.
    """
    located = read_located(text, source)
    try:
        return PolicyFile.model_validate(located.value).policy()
    except ValidationError as error:
        raise _as_input_error(error, located, source) from None


def shipped_policies() -> Mapping[str, str]:
    """Give the text of each policy that comes with Coalmine, by name."""
    folder = files("coalmine.gate") / "policies"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return {entry.name.removesuffix(".yaml"): entry.read_text("utf-8") for entry in found}


def _path_of(reference: str) -> Path:
    if "://" not in reference:
        return Path(reference)
    parts = urlsplit(reference)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        raise InputError(
            f"policy {reference} is not on this machine",
            field="policy",
            fix="give a path or a file:// URL",
        )
    return Path(unquote(parts.path))


def _as_input_error(error: ValidationError, located: LocatedYaml, source: str) -> InputError:
    # A misspelt field is unknown and its right name is missing: the first of the two says more.
    faults = sorted(
        _innermost(error.errors()),
        key=lambda fault: (fault["type"] != "extra_forbidden", located.line_of(fault["loc"])),
    )
    fault, more = faults[0], len(faults) - 1
    kind, place = fault["type"], (*fault["loc"], *_at(fault))
    message, fix = _sentence(kind, fault["msg"]), FIXES.get(kind, "")
    if kind == "value_error":
        message, _, fix = message.partition("; ")
    if kind == "extra_forbidden":
        fix = _nearest(place) or fix
    rest = f" (and {more} more faults)" if more > 1 else " (and one more fault)" if more else ""
    return InputError(
        message + rest,
        field=f"{source}:{located.line_of(place)}: {_dotted(place)}",
        fix=f"{fix}; {REFERENCE}" if fix else REFERENCE,
    )


def _at(fault: ErrorDetails) -> tuple[str | int, ...]:
    cause = fault.get("ctx", {}).get("error")
    return cause.at if isinstance(cause, MisfitError) else ()


def _innermost(faults: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what only follows: a list whose one item is wrong is told to be empty, too."""
    inner = {fault["loc"][:length] for fault in faults for length in range(len(fault["loc"]))}
    return [fault for fault in faults if fault["loc"] not in inner]


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is no field of a gate policy"
    if kind == "missing":
        return "is missing"
    if kind in {"model_type", "tuple_type"}:
        return "is no mapping" if kind == "model_type" else "is no list"
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:] if text.startswith("Input ") else text


def _dotted(place: Sequence[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "the file"


def _nearest(place: Sequence[str | int]) -> str:
    model: Any = PolicyFile
    for part in place[:-1]:
        model = _model_below(model, part)
    known = list(model.model_fields) if model else []
    near = get_close_matches(str(place[-1]), known, n=1)
    return f"write {near[0]} or remove it" if near else ""


def _model_below(model: Any, part: str | int) -> Any:  # noqa: ANN401 - a model class or None
    """Find the model that stands at a field; an item of a list has the list's own."""
    if isinstance(part, int) or model is None:
        return model
    spec = model.model_fields.get(part)
    return next(_models_in(spec.annotation), None) if spec else None


def _models_in(annotation: Any) -> Any:  # noqa: ANN401 - whatever a field is annotated with
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)
