"""Read one CloudEvent 1.0 from an HTTP message, and refuse everything that is not quite one.

The library does not judge the raw message: it invents a missing id, takes a missing version for
1.0, accepts 0.3, and lets parse errors of every kind through. So the message is checked here
first, and the library has the last word on its attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent

from coalmine.events.data import check_charset, parse_body, read_data, structured_data
from coalmine.events.event import Event, EventError
from coalmine.events.headers import ce_attributes, fold_headers, media_type

__all__ = [
    "MAX_EVENT_BYTES",
    "check_message",
    "parse_events_json",
    "read_event",
    "read_folded",
    "read_object",
]

MAX_EVENT_BYTES = 1 << 20
STRUCTURED = "application/cloudevents+json"
REQUIRED = ("specversion", "id", "source", "type")
CORE = {*REQUIRED, "subject", "time", "datacontenttype", "dataschema"}
JUDGED = {*REQUIRED, "datacontenttype"}
"""Of these the library knows nothing that was not checked here, unless one is empty."""
NAME = re.compile(r"[a-z0-9]+")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
SPACE = re.compile(r"\s")
INT32 = 1 << 31
SHORT = 1024
LIMITS = dict.fromkeys(("id", "source"), SHORT)
"""Bytes; what names a request is kept for good, and read by people."""


def read_event(headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes) -> Event:
    """Read a CloudEvent in binary or structured mode.

    Args:
        headers: The message's headers; pairs show a header that came twice, a mapping cannot.
        body: The whole body.

    Raises:
        EventError: The message is no CloudEvent 1.0; ``status`` is 400, 413 or 415.
    """
    return read_folded(fold_headers(headers), body)


def read_folded(folded: Mapping[str, str], body: bytes) -> Event:
    """Read a CloudEvent whose headers are by their lower-case names; see `read_event`."""
    check_message(folded, body)
    mime, charset = media_type(folded.get("content-type", ""))
    if mime.startswith("application/cloudevents"):
        if mime.startswith("application/cloudevents-batch"):
            raise EventError(
                "the message is a batch where one event was meant",
                status=415,
                fix=f"send the event by itself, as {STRUCTURED}",
            )
        return read_object(parse_events_json(mime, charset, body, expected=STRUCTURED))
    if any(name.startswith("ce-") for name in folded):
        return _read_binary(folded, body)
    raise EventError(
        "the message is no CloudEvent: it has neither ce- headers nor a CloudEvents media type",
        status=415,
        fix=f"send Content-Type: {STRUCTURED}, or the attributes as ce- headers",
    )


def check_message(headers: Mapping[str, str], body: bytes) -> None:
    """See that a message is of a size and an encoding that are taken.

    Raises:
        EventError: It is not.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise EventError(
            f"the body has {len(body)} bytes, more than {MAX_EVENT_BYTES}",
            status=413,
            fix="send a reference to the data, not the data",
        )
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding not in {"", "identity"}:
        raise EventError(
            f"the content encoding {encoding} is not taken", status=415, fix="send it uncompressed"
        )


def parse_events_json(mime: str, charset: str, body: bytes, *, expected: str) -> object:
    """Parse a body that holds whole events.

    Raises:
        EventError: It is not of the expected media type, or no JSON.
    """
    if mime != expected:
        raise EventError(
            f"the event format {mime} is not taken", status=415, fix=f"send {expected}"
        )
    check_charset(charset)
    return parse_body(body, "the body")


def read_object(envelope: object) -> Event:
    """Read a CloudEvent from the JSON object that it is in structured mode.

    Raises:
        EventError: It is none.
    """
    if not isinstance(envelope, dict):
        raise EventError("the event is no JSON object", fix="send an object")
    if "data" in envelope and "data_base64" in envelope:
        raise EventError("the event has both data and data_base64", fix="send one of them")
    payload = {name: envelope.pop(name) for name in ("data", "data_base64") if name in envelope}
    attributes = {name: _text(name, value) for name, value in envelope.items() if value is not None}
    return _event(attributes, structured_data(payload, attributes.get("datacontenttype")))


def _read_binary(headers: Mapping[str, str], body: bytes) -> Event:
    attributes = ce_attributes(headers)
    content_type = headers.get("content-type", "")
    data = read_data(body, content_type) if body else None
    return _event(attributes | ({"datacontenttype": content_type} if content_type else {}), data)


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if name not in CORE and isinstance(value, bool):
        return "true" if value else "false"
    if name not in CORE and isinstance(value, int) and -INT32 <= value < INT32:
        return str(value)
    kind = "a string" if name in CORE else "a string, a boolean or a 32-bit integer"
    raise EventError(f"the attribute {name} is not {kind}", fix=f"send {name} as {kind}")


def _event(attributes: Mapping[str, str], data: object) -> Event:
    _check_required(attributes)
    for name, value in attributes.items():
        # Most are known by name, short and plain, which is quickly seen.
        plain = name in CORE and len(value) <= SHORT and value.isascii() and value.isprintable()
        if not plain or " " in value:
            _check_attribute(name, value)
    time = _time(attributes["time"]) if "time" in attributes else None
    if not (attributes.keys() <= JUDGED and all(attributes.values())):
        _ask_library(attributes, time)
    extensions = {name: value for name, value in attributes.items() if name not in CORE}
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        data=data,
        subject=attributes.get("subject", ""),
        time=time,
        datacontenttype=attributes.get("datacontenttype", ""),
        dataschema=attributes.get("dataschema", ""),
        extensions=extensions,
    )


def _check_required(attributes: Mapping[str, str]) -> None:
    for name in REQUIRED:
        if not attributes.get(name):
            raise EventError(
                f"the attribute {name} is missing or empty",
                fix=f"send {name} (in binary mode the header ce-{name})",
            )
    if attributes["specversion"] != "1.0":
        raise EventError(
            f"specversion {attributes['specversion']} is not taken", fix="send CloudEvents 1.0"
        )


def _check_attribute(name: str, value: str) -> None:
    if name not in CORE and not NAME.fullmatch(name):
        raise EventError(
            f"{name!r} is no attribute name", fix="use lower-case ASCII letters and digits only"
        )
    if len(value.encode("utf-8", "surrogatepass")) > LIMITS.get(name, MAX_EVENT_BYTES):
        raise EventError(
            f"the attribute {name} has more than {LIMITS[name]} bytes", fix=f"send a shorter {name}"
        )
    if not (value.isascii() and value.isprintable()) and FORBIDDEN.search(value):
        raise EventError(f"the attribute {name} holds a control character", fix=f"clean {name}")
    if name in {"source", "dataschema"} and SPACE.search(value):
        raise EventError(
            f"the attribute {name} is no URI: it holds a space", fix="encode it as %20"
        )


def _time(text: str) -> datetime:
    try:
        if RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    raise EventError(
        f"the attribute time, {text!r}, is no RFC 3339 timestamp",
        fix="send one like 2026-01-31T12:00:00Z",
    )


def _ask_library(attributes: Mapping[str, str], time: datetime | None) -> None:
    try:
        CloudEvent({**attributes, **({"time": time} if time else {})})
    except CloudEventValidationError as error:
        first = next(iter(error.errors.values()))[0]
        raise EventError(str(first), fix="send a CloudEvent as specification 1.0 has it") from None
