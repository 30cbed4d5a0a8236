"""All the events of one HTTP message: one, or as many as a batch holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.events.event import Event, EventError
from coalmine.events.headers import fold_headers, media_type
from coalmine.events.read import check_message, parse_events_json, read_folded, read_object

__all__ = ["MAX_BATCH_EVENTS", "BatchError", "Message", "read_events", "read_message"]

BATCH = "application/cloudevents-batch"
MAX_BATCH_EVENTS = 500


class BatchError(InputError):
    """Some events of a batch are wrong, and so none of it is taken.

    Args:
        problems: What is wrong, by the event's place in the batch, from 0 on.
        count: The number of events in the batch.
    """

    def __init__(self, problems: Mapping[int, InputError], count: int) -> None:
        place, first = next(iter(problems.items()))
        super().__init__(
            f"{len(problems)} of {count} events are refused, and so the whole batch; "
            f"event {place}: {first.message}",
            fix=first.fix,
        )
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Message:
    """What one HTTP message brought.

    Attributes:
        events: Its events.
        batched: Whether they came as a batch, and so are answered as one.
    """

    events: tuple[Event, ...]
    batched: bool = False


def read_events(headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes) -> Message:
    """Read every CloudEvent of a message in binary, structured or batched mode.

    Args:
        headers: The message's headers.
        body: The whole body.

    Raises:
        EventError: The message is none that holds CloudEvents 1.0.
        BatchError: An event of a batch is wrong.
    """
    return read_message(fold_headers(headers), body)


def read_message(folded: Mapping[str, str], body: bytes) -> Message:
    """Read a message whose headers are by their lower-case names; see `read_events`."""
    mime, charset = media_type(folded.get("content-type", ""))
    if not mime.startswith(BATCH):
        return Message((read_folded(folded, body),))
    check_message(folded, body)
    listed = parse_events_json(mime, charset, body, expected=f"{BATCH}+json")
    if not isinstance(listed, list):
        raise EventError("the batch is no JSON list", fix="send a list of events")
    if len(listed) > MAX_BATCH_EVENTS:
        raise EventError(
            f"the batch has {len(listed)} events, more than {MAX_BATCH_EVENTS}",
            status=413,
            fix="send it as several batches",
        )
    return Message(_read_all(listed), batched=True)


def _read_all(listed: list[object]) -> tuple[Event, ...]:
    events: list[Event] = []
    problems: dict[int, InputError] = {}
    for place, one in enumerate(listed):
        try:
            events.append(read_object(one))
        except EventError as error:
            problems[place] = error
    if problems:
        raise BatchError(problems, len(listed))
    return tuple(events)
