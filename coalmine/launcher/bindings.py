"""Which events start which pipeline, and with which parameters: a pure evaluation.

The words are those of Tekton Triggers: ``$(body.name)`` is a field of the event's data,
``$(header.ce-type)`` an attribute of the event, in whichever mode it came.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from coalmine._base.errors import InputError
from coalmine.events import Event, Opaque
from coalmine.launcher.release import Conflict

__all__ = [
    "PIPELINE",
    "REFERENCE",
    "Binding",
    "BoundParameter",
    "EventFilter",
    "NotTakenError",
    "RefusedError",
    "bind",
    "find_binding",
    "pipeline_of",
    "why_not",
]

PIPELINE = "coalminepipeline"
"""The extension attribute by which an event asks for a pipeline that its binding offers."""
SEGMENT = r"[A-Za-z0-9_-]+(?:\[[0-9]{1,6}\])*"
REFERENCE = re.compile(rf"\$\((body|header)\.({SEGMENT}(?:\.{SEGMENT})*)\)")
KEY = re.compile(r"[A-Za-z0-9_-]+|(?<=\[)[0-9]+(?=\])")


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


class EventFilter(Protocol):
    """Judges an event as a whole."""

    def refuses(self, event: Event) -> str:
        """Say why the event is not taken; empty if it is."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One rule.

    Attributes:
        name: For logs and answers.
        types: Patterns of the event types it takes, with ``*`` for any text.
        pipeline: The pipeline's name.
        parameters: How its parameters get their values.
        sources: Patterns of the event sources it takes; empty for all.
        subjects: Patterns of the event subjects it takes; empty for all.
        filter: Judges the whole event; None to take them all.
        engine: Where the pipeline runs.
        on_conflict: What becomes of a release whose service has one that has not ended.
        same_within: Seconds within which the same type, subject and data mean the same release;
            0 where only the same event does.
        pipelines: Other pipelines that an event may ask for by name.
    """

    name: str
    types: tuple[str, ...]
    pipeline: str
    parameters: tuple[BoundParameter, ...]
    sources: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    filter: EventFilter | None = None
    engine: str = "local"
    on_conflict: Conflict = Conflict.QUEUE
    same_within: float = 0.0
    pipelines: tuple[str, ...] = ()


class _MissingError(Exception):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def find_binding(bindings: Sequence[Binding], event: Event) -> Binding:
    """Find the first binding that takes an event.

    Raises:
        NotTakenError: There is none; the message says what is taken.
    """
    reasons: list[str] = []
    for binding in bindings:
        reason = why_not(binding, event)
        if not reason:
            return binding
        if not any(_matches(event.type, [one]) for one in binding.types):
            continue
        reasons.append(f"{binding.name}: {reason}")
    if reasons:
        raise NotTakenError(
            f"no binding takes this event: {'; '.join(reasons)}",
            fix="change the event, or the bindings; see: coalmine bindings test EVENT.json",
        )
    taken = sorted({name for binding in bindings for name in binding.types})
    raise NotTakenError(
        f"no binding takes events of type {event.type}", fix=f"send one of: {', '.join(taken)}"
    )


def why_not(binding: Binding, event: Event) -> str:
    """Say why a binding does not take an event; empty if it does."""
    if not _matches(event.type, binding.types):
        return f"its types are {', '.join(binding.types)}"
    if binding.sources and not _matches(event.source, binding.sources):
        return f"its sources are {', '.join(binding.sources)}, not {event.source}"
    if binding.subjects and not _matches(event.subject, binding.subjects):
        return f"its subjects are {', '.join(binding.subjects)}, not {event.subject!r}"
    return binding.filter.refuses(event) if binding.filter else ""


def _matches(text: str, patterns: Collection[str]) -> bool:
    return text in patterns or any(_pattern(one).fullmatch(text) for one in patterns)


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    # Only '*' is special: the brackets and question marks of URIs stand for themselves.
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def bind(binding: Binding, event: Event) -> dict[str, str]:
    """Give a binding's parameters their values.

    Raises:
        RefusedError: A required field is missing, a value is no text or number, or a field of data
            is asked for that is no JSON.
    """
    if isinstance(event.data, Opaque):
        _check_blind(binding, event.data)
    return {parameter.name: _bind_one(parameter, event) for parameter in binding.parameters}


def pipeline_of(binding: Binding, event: Event) -> str:
    """Give the pipeline that an event starts: the binding's, or another one that it offers.

    Raises:
        RefusedError: The event asks for one that is not on offer.
    """
    asked = event.extensions.get(PIPELINE) or binding.pipeline
    offered = (binding.pipeline, *binding.pipelines)
    if asked not in offered:
        raise RefusedError(
            f"is {asked!r}, which the binding {binding.name} does not offer",
            field=PIPELINE,
            fix=f"ask for one of: {', '.join(offered)}; or add it to the binding's pipelines",
        )
    return asked


def _check_blind(binding: Binding, data: Opaque) -> None:
    """See that no value looks into data that cannot be looked into, whatever its default is."""
    for parameter in binding.parameters:
        for root, path in REFERENCE.findall(f"{parameter.value} {parameter.default or ''}"):
            if root == "body":
                raise RefusedError(
                    f"is looked for in the data by the binding {binding.name}, "
                    f"and the data is {data.kind}, not JSON",
                    field=path,
                    fix="send JSON and say so: application/json; or bind attributes: "
                    "$(header.ce-subject)",
                )


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
    return "".join(
        [_look_up(*one, event) if isinstance(one, tuple) else one for one in _parts(template)]
    )


@functools.lru_cache(maxsize=1024)
def _parts(template: str) -> tuple[str | tuple[str, str], ...]:
    """Split a text with references into its texts and its references, each root and path."""
    parts: list[str | tuple[str, str]] = []
    end = 0
    for found in REFERENCE.finditer(template):
        parts += [template[end : found.start()], (found[1], found[2])]
        end = found.end()
    return tuple(one for one in [*parts, template[end:]] if one)


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
    for key in _keys(path):
        if isinstance(data, list) and key.isdigit():
            data = data[int(key)] if int(key) < len(data) else None
        elif isinstance(data, Mapping):
            data = data.get(key)
        else:
            return None
    return data


@functools.lru_cache(maxsize=1024)
def _keys(path: str) -> tuple[str, ...]:
    return tuple(KEY.findall(path))


def _render(path: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    kind = {bool: "a boolean", dict: "an object", list: "a list"}.get(type(value), "no text")
    raise RefusedError(
        f"is {kind}, not text or a number", field=path, fix=f"send {path} as text or a number"
    )
