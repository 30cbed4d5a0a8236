"""What a launcher tells others about a release: CloudEvents of its own, and their CDEvents twins.

One thing that happened becomes one or two events. Their ids follow from the release and from what
happened, so that an event which is sent twice is the same event, as CloudEvents has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from coalmine.events.cdevents import cdevents_of
from coalmine.events.event import Event
from coalmine.events.happening import SOURCE, Happening, What

__all__ = ["SOURCE", "Happening", "What", "events_of"]

TRACING = ("traceparent", "tracestate")


def events_of(happening: Happening) -> tuple[Event, ...]:
    """Give the events that tell of something, in the order in which they are to be sent."""
    return tuple(_events(happening))


def _events(happening: Happening) -> Iterator[Event]:
    if happening.what.is_state:
        yield _event(happening, _type(happening), happening.what.value, _data(happening))
    for suffix, content in cdevents_of(happening):
        yield _event(happening, content["context"]["type"], suffix, content)


def _type(happening: Happening) -> str:
    return f"dev.coalmine.release.{happening.what.value}.v1"


def _event(
    happening: Happening,
    type: str,  # noqa: A002 - the attribute's name
    suffix: str,
    data: Mapping[str, object],
) -> Event:
    attributes = happening.trigger_attributes
    return Event(
        id=happening.event_id(suffix),
        source=SOURCE,
        type=type,
        data=data,
        subject=happening.service if happening.what.is_state else str(_subject(data)),
        time=datetime.fromisoformat(happening.at),
        datacontenttype="application/json",
        extensions={name: attributes[name] for name in TRACING if attributes.get(name)},
    )


def _subject(data: Mapping[str, object]) -> object:
    subject = data["subject"]
    assert isinstance(subject, Mapping)
    return subject["id"]


def _data(happening: Happening) -> dict[str, object]:
    about = {
        "release": happening.release_id,
        "url": happening.url,
        "state": happening.what.value,
        "service": happening.service,
        "name": happening.name,
        "version": happening.fact("version"),
        "image_digest": happening.fact("image_digest"),
        "verdict": happening.fact("verdict"),
        "reason": happening.fact("reason"),
    }
    said: dict[str, object] = {name: value for name, value in about.items() if value}
    return said | {"trigger": dict(happening.trigger)}
