"""An event that is sent is the event that is read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError, InputError
from coalmine.events import Event, Opaque, new_event, read_event
from coalmine.events.send import encode_event, send_event

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=20)


@given(
    event=st.builds(
        Event,
        id=TEXT,
        source=TEXT.filter(lambda text: not any(map(str.isspace, text))),
        type=TEXT,
        subject=TEXT | st.just(""),
        data=st.none()
        | TEXT
        | st.lists(TEXT)
        | st.dictionaries(TEXT, TEXT | st.integers(-(10**9), 10**9) | st.booleans()),
        time=st.datetimes(timezones=st.just(UTC)) | st.none(),
        datacontenttype=st.sampled_from(["application/json", "text/json", ""]),
        extensions=st.dictionaries(st.sampled_from(["traceparent", "n"]), TEXT),
    ),
    binary=st.booleans(),
)
def test_both_modes_carry_everything(event: Event, binary: bool) -> None:
    message = encode_event(event, binary=binary)
    read = read_event(message.headers, message.body)
    sent = event.attributes()
    sent["datacontenttype"] = event.datacontenttype or "application/json"
    sent.setdefault("time", read.attributes()["time"])
    assert read.attributes() == sent
    assert read.data == event.data


def test_a_new_event_asks_for_a_release() -> None:
    event = new_event(data={"name": "iris"}, source="/cli")
    assert event.type == "dev.coalmine.release.requested.v1"
    assert event.id != new_event(data={}, source="/cli").id
    assert event.time is not None


@given(raw=st.binary(), mime=st.sampled_from(["", "text/plain", "image/png"]), binary=st.booleans())
def test_what_is_no_json_is_carried_by_both_modes(raw: bytes, mime: str, binary: bool) -> None:
    sent = Event(id="1", source="/", type="t", data=Opaque(raw, mime), datacontenttype=mime)
    message = encode_event(sent, binary=binary)
    read = read_event(message.headers, message.body)
    assert read.data == (None if binary and not raw else sent.data)
    assert read.datacontenttype == mime


def test_fractions_can_be_sent() -> None:
    message = encode_event(Event(id="1", source="/", type="t", data={"x": [Decimal("2.5")]}))
    data: Any = read_event(message.headers, message.body).data
    assert data == {"x": [Decimal("2.5")]}


def test_no_launcher_there() -> None:
    event = new_event(data={}, source="/cli", time=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(CoalmineError, match="does not answer"):
        send_event("http://127.0.0.1:1", event)
    with pytest.raises(InputError, match="no URL"):
        send_event("ftp://127.0.0.1", event)
