"""From an HTTP message to a stored release, without HTTP."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from coalmine._base.errors import InputError
from coalmine.engines.values import check_for
from coalmine.events import BatchError, Event
from coalmine.launcher.admission import Admitted, Group
from coalmine.launcher.bindings import PIPELINE, Binding, find_binding
from coalmine.launcher.bound import bind, pipeline_of
from coalmine.launcher.checks import check_values
from coalmine.launcher.release import NewRelease, digest_of, release_id_of

__all__ = ["Intake", "release_of"]

Put = Callable[[Group], Awaitable[list[Admitted]]]


def release_of(bindings: Sequence[Binding], event: Event) -> NewRelease:
    """Decide which release an event asks for.

    Raises:
        NotTakenError: No binding takes the event.
        InputError: A value in it is missing or wrong, or the engine would read it as code.
    """
    binding = find_binding(bindings, event)
    pipeline = pipeline_of(binding, event)
    values = bind(binding, event)
    check_for(binding.engine, values)
    check_values(values)
    release_id = release_id_of(event.source, event.id)
    return NewRelease(
        id=release_id,
        service=values["service"],
        name=values.get("name", ""),
        version=values.get("version", ""),
        event_source=event.source,
        event_id=event.id,
        event_type=event.type,
        binding=binding.name,
        pipeline=pipeline,
        engine=binding.engine,
        parameters={**values, "release_id": release_id},
        event_attributes=event.attributes(),
        on_conflict=binding.on_conflict,
        content_key=_content_key(binding, event) if binding.same_within else "",
        within=binding.same_within,
    )


def _content_key(binding: Binding, event: Event) -> str:
    """Name what an event asks for, whoever sends it and under whatever id."""
    data = json.dumps(event.data, sort_keys=True, default=str)
    asked = [event.extensions[PIPELINE]] if PIPELINE in event.extensions else []
    return "c" + digest_of(binding.name, event.type, event.subject, data, *asked).hex()[:60]


class Intake:
    """Takes events.

    Args:
        bindings: Gives the bindings that hold now.
        put: Stores the releases of one message durably, all or none.
    """

    def __init__(self, bindings: Callable[[], Sequence[Binding]], put: Put) -> None:
        self._bindings = bindings
        self._put = put

    async def take(self, events: Sequence[Event]) -> list[Admitted]:
        """Store the releases that a message's events ask for; when this returns, they are on disk.

        Raises:
            InputError: One of the events is not taken; nothing was stored. In a batch the
                message says which.
            CoalmineError: The ledger cannot be written; nothing was stored.
        """
        return await self._put(_releases_of(self._bindings(), events))


def _releases_of(bindings: Sequence[Binding], events: Sequence[Event]) -> list[NewRelease]:
    if len(events) == 1:
        return [release_of(bindings, events[0])]
    releases: list[NewRelease] = []
    problems: dict[int, InputError] = {}
    for place, event in enumerate(events):
        try:
            releases.append(release_of(bindings, event))
        except InputError as error:
            problems[place] = error
    if problems:
        raise BatchError(problems, len(events))
    return releases
