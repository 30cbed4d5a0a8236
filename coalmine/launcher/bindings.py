"""Which events start which pipeline: a pure evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from coalmine._base.errors import InputError
from coalmine.events import Event
from coalmine.launcher.pattern import matches
from coalmine.launcher.release import Conflict

__all__ = [
    "PIPELINE",
    "Binding",
    "BoundParameter",
    "EventFilter",
    "NotTakenError",
    "RefusedError",
    "find_binding",
    "why_not",
]

PIPELINE = "coalminepipeline"
"""The extension attribute by which an event asks for a pipeline that its binding offers."""


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
        if not any(matches(event.type, [one]) for one in binding.types):
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
    if not matches(event.type, binding.types):
        return f"its types are {', '.join(binding.types)}"
    if binding.sources and not matches(event.source, binding.sources):
        return f"its sources are {', '.join(binding.sources)}, not {event.source}"
    if binding.subjects and not matches(event.subject, binding.subjects):
        return f"its subjects are {', '.join(binding.subjects)}, not {event.subject!r}"
    return binding.filter.refuses(event) if binding.filter else ""
