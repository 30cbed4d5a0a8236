"""An event, and what is wrong with something that should have been one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from coalmine._base.errors import InputError

__all__ = ["RELEASE_REQUESTED", "Event", "EventError", "Opaque", "new_event"]

RELEASE_REQUESTED = "dev.coalmine.release.requested.v1"
"""The type of the event that asks for a release."""


class EventError(InputError):
    """A message is no CloudEvent that can be taken.

    Args:
        message: What is wrong, naming the attribute or header.
        status: The HTTP status that tells the sender: 400, 413 or 415.
        fix: What to send instead.
    """

    def __init__(self, message: str, *, status: int = 400, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.status = status


@dataclass(frozen=True, slots=True)
class Opaque:
    """Data that is not JSON: it is carried, and nobody looks into it.

    Attributes:
        raw: The data.
        mime: Its media type in lower case, without parameters; empty if unsaid.
    """

    raw: bytes
    mime: str = ""

    @property
    def kind(self) -> str:
        """Say what it is."""
        return self.mime or "of no said media type"


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent 1.0.

    Attributes:
        id: Unique within its source.
        source: Where it comes from, a URI reference.
        type: What happened.
        data: The parsed JSON; fractions are ``Decimal``, so that 2.50 stays 2.50. None if absent,
            and `Opaque` if it is no JSON.
        subject: What it is about; empty if unsaid.
        time: When it happened; None if unsaid.
        datacontenttype: The media type of the data; empty if unsaid.
        dataschema: The schema of the data; empty if unsaid.
        extensions: Every other attribute, in its canonical string form.
    """

    id: str
    source: str
    type: str
    data: object = None
    subject: str = ""
    time: datetime | None = None
    datacontenttype: str = ""
    dataschema: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)

    def attributes(self) -> dict[str, str]:
        """Give every attribute that is set, as a string, by its CloudEvents name."""
        named = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time.isoformat().replace("+00:00", "Z") if self.time else "",
            "datacontenttype": self.datacontenttype,
            "dataschema": self.dataschema,
        }
        return {name: value for name, value in named.items() if value} | dict(self.extensions)


def new_event(
    *,
    data: Mapping[str, object],
    source: str,
    type: str = RELEASE_REQUESTED,  # noqa: A002 - the attribute's name
    id: str = "",  # noqa: A002
    time: datetime | None = None,
    extensions: Mapping[str, str] | None = None,
) -> Event:
    """Make an event of this moment.

    Args:
        data: A JSON object.
        source: Where it comes from, a URI reference such as ``/coalmine/cli``.
        type: What happened; a release is asked for unless told.
        id: Unique within the source; a random one unless told.
        time: When it happened; now unless told.
        extensions: Other attributes; their names are small letters and digits.
    """
    return Event(
        id=id or str(uuid.uuid4()),
        source=source,
        type=type,
        data=dict(data),
        time=time or datetime.now(UTC),
        datacontenttype="application/json",
        extensions=dict(extensions or {}),
    )
