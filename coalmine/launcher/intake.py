"""From an HTTP message to a stored release, without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from coalmine.events import Event, read_event
from coalmine.launcher.bindings import Binding, bind, find_binding
from coalmine.launcher.checks import check_values
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.release import NewRelease, release_id_of

__all__ = ["Intake", "Taken", "release_of"]


@dataclass(frozen=True, slots=True)
class Taken:
    """An event that was taken.

    Attributes:
        release_id: The release it means.
        state: Where the release is.
        new: Whether this event was the first to ask for it.
    """

    release_id: str
    state: str
    new: bool


def release_of(bindings: Sequence[Binding], event: Event) -> NewRelease:
    """Decide which release an event asks for.

    Raises:
        NotTakenError: No binding takes the event.
        RefusedError: A value in it is missing or wrong.
    """
    binding = find_binding(bindings, event)
    values = bind(binding, event)
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
        pipeline=binding.pipeline,
        engine=binding.engine,
        parameters={**values, "release_id": release_id},
    )


class Intake:
    """Takes events.

    Args:
        bindings: Which events are taken.
        ledger: Where releases are stored.
        on_new: Called after a release was stored.
    """

    def __init__(
        self, bindings: Sequence[Binding], ledger: Ledger, on_new: Callable[[], None]
    ) -> None:
        self._bindings = bindings
        self._ledger = ledger
        self._on_new = on_new

    def take(self, headers: Iterable[tuple[str, str]], body: bytes) -> Taken:
        """Read an event and store the release it asks for; when this returns, it is on disk.

        Raises:
            InputError: The message is no event, or not one that is taken; nothing was stored.
            CoalmineError: The ledger cannot be written; nothing was stored.
        """
        release = release_of(self._bindings, read_event(headers, body))
        row, new = self._ledger.accept(release)
        if new:
            self._on_new()
        return Taken(row["id"], row["state"], new)
