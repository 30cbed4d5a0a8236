"""Which events start which pipeline, and with which parameters: a pure evaluation.

The words are those of Tekton Triggers: ``$(body.name)`` is a field of the event's data,
``$(header.ce-type)`` an attribute of the event, in whichever mode it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from coalmine._base.errors import InputError
from coalmine.events import Event

__all__ = [
    "REFERENCE",
    "Binding",
    "BoundParameter",
    "NotTakenError",
    "RefusedError",
    "bind",
    "find_binding",
]

REFERENCE = re.compile(r"\$\((body|header)\.([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\)")


class NotTakenError(InputError):
    """No binding takes this event."""


class RefusedError(InputError):
    """A binding takes this event, and what it says is wrong."""


@dataclass(frozen=True, slots=True)
class BoundParameter:
    """How a pipeline parameter gets its value.

    Attributes:
        name: The pipeline's name for it.
        value: Text with references.
        default: Text with references, used when a field of ``value`` is missing or null; None
            where the field must be there.
    """

    name: str
    value: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """One rule.

    Attributes:
        name: For logs and answers.
        types: The event types it takes.
        pipeline: The pipeline's name.
        parameters: How its parameters get their values.
        sources: The event sources it takes; empty for all.
        engine: Where the pipeline runs.
    """

    name: str
    types: tuple[str, ...]
    pipeline: str
    parameters: tuple[BoundParameter, ...]
    sources: tuple[str, ...] = ()
    engine: str = "local"


class _MissingError(Exception):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def find_binding(bindings: Sequence[Binding], event: Event) -> Binding:
    """Find the first binding that takes an event.

    Raises:
        NotTakenError: There is none; the message says what is taken.
    """
    typed = [binding for binding in bindings if event.type in binding.types]
    if not typed:
        taken = sorted({name for binding in bindings for name in binding.types})
        raise NotTakenError(
            f"no binding takes events of type {event.type}", fix=f"send one of: {', '.join(taken)}"
        )
    for binding in typed:
        if not binding.sources or event.source in binding.sources:
            return binding
    sources = sorted({source for binding in typed for source in binding.sources})
    raise NotTakenError(
        f"no binding takes events of type {event.type} from {event.source}",
        fix=f"send it from one of: {', '.join(sources)}",
    )


def bind(binding: Binding, event: Event) -> dict[str, str]:
    """Give a binding's parameters their values.

    Raises:
        RefusedError: A required field is missing, or a value is no text or number.
    """
    return {parameter.name: _bind_one(parameter, event) for parameter in binding.parameters}


def _bind_one(parameter: BoundParameter, event: Event) -> str:
    try:
        return _fill(parameter.value, event)
    except _MissingError as missing:
        if parameter.default is None:
            raise _required(missing.path) from None
    try:
        return _fill(parameter.default, event)
    except _MissingError as missing:
        raise _required(missing.path) from None


def _required(path: str) -> RefusedError:
    where = "data" if path.startswith("body.") else "attributes"
    name = path.partition(".")[2]
    return RefusedError(
        f"is required in the event's {where}", field=name, fix=f"send {name} as text or a number"
    )


def _fill(template: str, event: Event) -> str:
    return REFERENCE.sub(lambda found: _look_up(found[1], found[2], event), template)


def _look_up(root: str, path: str, event: Event) -> str:
    found = _header(path, event) if root == "header" else _field(path, event.data)
    if found is None:
        raise _MissingError(f"{root}.{path}")
    return _render(path, found)


def _header(name: str, event: Event) -> object:
    key = name.lower()
    if key == "content-type":
        return event.datacontenttype or None
    return event.attributes().get(key.removeprefix("ce-"))


def _field(path: str, data: object) -> object:
    for key in path.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data


def _render(path: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    kind = {bool: "a boolean", dict: "an object", list: "a list"}.get(type(value), "no text")
    raise RefusedError(
        f"is {kind}, not text or a number", field=path, fix=f"send {path} as text or a number"
    )
