"""CloudEvents in, strictly read; events about releases out: the control wing's ground floor."""

from coalmine.events.batch import MAX_BATCH_EVENTS, BatchError, Message, read_events, read_message
from coalmine.events.event import RELEASE_REQUESTED, Event, EventError, Opaque, new_event
from coalmine.events.read import MAX_EVENT_BYTES, read_event

__all__ = [
    "MAX_BATCH_EVENTS",
    "MAX_EVENT_BYTES",
    "RELEASE_REQUESTED",
    "BatchError",
    "Event",
    "EventError",
    "Message",
    "Opaque",
    "new_event",
    "read_event",
    "read_events",
    "read_message",
]
