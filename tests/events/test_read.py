"""What is a CloudEvent that can be taken, and what is not."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.events import MAX_EVENT_BYTES, Event, EventError, Opaque, read_event

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "7",
    "ce-source": "/ci",
    "ce-type": "t",
    "Content-Type": "application/json",
}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "7",
    "source": "/ci",
    "type": "t",
    "data": {"name": "iris"},
}


def body_with(**changes: object) -> bytes:
    merged = ENVELOPE | changes
    return json.dumps({name: value for name, value in merged.items() if value != "<gone>"}).encode()


def refused(headers: Any, body: bytes) -> EventError:
    with pytest.raises(EventError) as caught:
        read_event(headers, body)
    assert caught.value.fix
    assert caught.value.exit_code == 2
    return caught.value


def test_structured_and_binary_say_the_same() -> None:
    structured = read_event(STRUCTURED, body_with())
    binary = read_event(BINARY, b'{"name": "iris"}')
    assert structured == Event(id="7", source="/ci", type="t", data={"name": "iris"})
    assert (binary.id, binary.source, binary.type, binary.data) == (
        "7",
        "/ci",
        "t",
        structured.data,
    )


def test_all_attributes_are_read() -> None:
    event = read_event(
        {"content-type": "Application/CloudEvents+JSON; charset=UTF-8"},
        body_with(
            time="2026-01-31T12:00:00.5Z", subject="s", dataschema="http://s", traced=True, n=3
        ),
    )
    assert event.subject == "s"
    assert event.time is not None
    assert event.time.isoformat() == "2026-01-31T12:00:00.500000+00:00"
    assert event.extensions == {"traced": "true", "n": "3"}
    assert event.attributes()["time"] == "2026-01-31T12:00:00.500000Z"


def test_null_means_unset() -> None:
    assert read_event(STRUCTURED, body_with(subject=None, data=None)).data is None
    assert refused(STRUCTURED, body_with(id=None)).status == 400


def test_numbers_keep_their_digits() -> None:
    body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"x":2.50,"y":10}}'
    assert read_event(STRUCTURED, body).data == {"x": Decimal("2.50"), "y": 10}
    assert str(read_event(BINARY, b'{"x": 2.50}').data["x"]) == "2.50"  # type: ignore[index]


def test_headers_are_percent_decoded_once() -> None:
    event = read_event(
        BINARY | {"ce-subject": "Euro%20%E2%82%AC%2525", "ce-ext": '"a \\"b\\""'}, b""
    )
    assert event.subject == "Euro €%25"
    assert event.extensions == {"ext": 'a "b"'}
    assert event.data is None


def test_base64_data_is_json_too() -> None:
    encoded = base64.b64encode(b'{"a": 1}').decode()
    body = body_with(data="<gone>", data_base64=encoded, datacontenttype="application/json")
    assert read_event(STRUCTURED, body).data == {"a": 1}


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("value", ["<gone>", "", None, 7, True, ["x"], {"x": 1}])
def test_required_attributes_in_structured_mode(name: str, value: object) -> None:
    error = refused(STRUCTURED, body_with(**{name: value}))
    assert error.status == 400
    assert name in str(error)


@pytest.mark.parametrize("name", ["id", "source"])
def test_what_names_a_request_has_a_limit(name: str) -> None:
    assert read_event(STRUCTURED, body_with(**{name: "x" * 1024}))
    error = refused(STRUCTURED, body_with(**{name: "é" * 512 + "x"}))
    assert error.status == 400
    assert f"{name} has more than 1024 bytes" in str(error)
    assert refused(BINARY | {f"ce-{name}": "x" * 1025}, b"{}").status == 400


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_required_attributes_in_binary_mode(name: str) -> None:
    headers = {key: value for key, value in BINARY.items() if key != f"ce-{name}"}
    assert name in str(refused(headers, b"{}"))
    assert name in str(refused(headers | {f"ce-{name}": ""}, b"{}"))


@pytest.mark.parametrize("version", ["0.3", "0.2", "1", "1.0.2", "2.0"])
def test_other_versions_are_refused(version: str) -> None:
    assert version in str(refused(STRUCTURED, body_with(specversion=version)))
    assert version in str(refused(BINARY | {"ce-specversion": version}, b"{}"))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/plain",
        "",
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents+avro",
        "application/cloudevents-batch+json",
        "application/cloudevents+jsonx",
        "application/cloudevents+json; charset=utf-16",
    ],
)
def test_wrong_media_types_are_415(content_type: str) -> None:
    assert refused({"Content-Type": content_type}, body_with()).status == 415


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/jsonx", "image/png; q=1", ""]
)
def test_data_that_is_not_json_is_carried_as_it_came(content_type: str) -> None:
    mime = content_type.partition(";")[0]
    about = {"dataschema": "urn:x", "myext": "7"}
    raw = b'{"a": \xff'
    headers = BINARY | {f"ce-{name}": value for name, value in about.items()}
    headers.pop("Content-Type")
    binary = read_event(headers | ({"Content-Type": content_type} if content_type else {}), raw)
    said = {"datacontenttype": content_type} if content_type else {}
    encoded = base64.b64encode(raw).decode()
    structured = read_event(
        STRUCTURED, body_with(data="<gone>", data_base64=encoded, **about, **said)
    )
    for event in (binary, structured):
        assert event.data == Opaque(raw, mime)
        assert (event.dataschema, dict(event.extensions)) == ("urn:x", {"myext": "7"})
        assert event.datacontenttype == content_type


def test_text_in_structured_mode() -> None:
    event = read_event(STRUCTURED, body_with(datacontenttype="text/xml", data="<é/>"))
    assert event.data == Opaque("<é/>".encode(), "text/xml")
    wrong: tuple[object, ...] = ({"a": 1}, 7, [], True)
    for data in wrong:
        assert refused(STRUCTURED, body_with(datacontenttype="text/xml", data=data)).status == 400


@pytest.mark.parametrize("content_type", ["model/vnd.x+json", "image/json", "TEXT/JSON; a=b"])
def test_every_json_type_is_json(content_type: str) -> None:
    assert read_event(BINARY | {"Content-Type": content_type}, b'{"a": 1}').data == {"a": 1}
    assert refused(BINARY | {"Content-Type": content_type}, b"{").status == 400


@pytest.mark.parametrize("content_type", ["text", "a b/c", "/", "é/x"])
def test_what_is_no_media_type_is_refused(content_type: str) -> None:
    assert refused(STRUCTURED, body_with(datacontenttype=content_type)).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"42",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}',
        b'{"specversion":"1.0","id":"\\ud800","source":"/s","type":"t"}',
        b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"x":1e99999999999999999999}}',
        b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":' + b"9" * 5000 + b"}",
        b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":' + b"[" * 99999 + b"}",
    ],
)
def test_bodies_that_are_no_event(body: bytes) -> None:
    assert refused(STRUCTURED, body).status == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"time": "yesterday"},
        {"time": "2026-01-31"},
        {"time": "2026-01-31T12:00:00"},
        {"time": "2026-13-31T12:00:00Z"},
        {"time": 7},
        {"subject": ""},
        {"datacontenttype": 1},
        {"dataschema": ""},
        {"source": "/with space"},
        {"id": "a\u0000b"},
        {"id": "a\nb"},
        {"my-ext": "x"},
        {"Ext": "x"},
        {"ext": {"a": 1}},
        {"ext": 1.5},
        {"ext": 2**31},
        {"data_base64": "e30="},
        {"data": "<gone>", "data_base64": "###", "datacontenttype": "application/json"},
    ],
)
def test_bad_attributes(changes: dict[str, object]) -> None:
    assert refused(STRUCTURED, body_with(**changes)).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"ce-time": "noon"},
        {"ce-my-ext": "x"},
        {"ce-": "x"},
        {"ce-data": "x"},
        {"ce-datacontenttype": "application/json"},
        {"ce-subject": "%FF"},
        {"ce-subject": "€"},
        {"ce-subject": ""},
        {"ce-id": "%00"},
    ],
)
def test_bad_headers(headers: dict[str, str]) -> None:
    assert refused(BINARY | headers, b"{}").status == 400


def test_a_header_that_came_twice() -> None:
    pairs = [*BINARY.items(), ("CE-ID", "8")]
    assert "ce-id" in str(refused(pairs, b"{}"))
    assert "content-type" in str(refused([*BINARY.items(), ("content-type", "text/plain")], b"{}"))
    assert read_event([*BINARY.items(), ("via", "a"), ("Via", "b")], b"{}").id == "7"


def test_binary_data_must_be_json() -> None:
    assert refused(BINARY, b"{not json").status == 400
    assert refused(BINARY, b"\xff").status == 400


def test_a_body_that_is_too_large() -> None:
    assert refused(BINARY, b" " * (MAX_EVENT_BYTES + 1)).status == 413
    assert read_event(BINARY, b'"' + b"x" * (MAX_EVENT_BYTES - 2) + b'"').id == "7"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTES = st.sampled_from(
    [
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "subject",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
        "ext",
        "Ext-1",
        "",
    ]
)
CONTENT_TYPES = st.sampled_from(
    [
        "application/cloudevents+json",
        "application/json",
        "text/plain",
        ";",
        "application/cloudevents",
    ]
) | st.text(max_size=20)


def event_or_refusal(headers: Any, body: bytes) -> None:
    try:
        event = read_event(headers, body)
    except EventError as error:
        assert error.status in {400, 413, 415}  # noqa: PT017
        assert error.fix  # noqa: PT017
    else:
        assert event.id
        assert event.source
        assert event.type


@given(headers=st.lists(st.tuples(st.text(), st.text())), body=st.binary())
def test_anything_is_an_event_or_a_refusal(headers: list[tuple[str, str]], body: bytes) -> None:
    event_or_refusal(headers, body)


@given(content_type=CONTENT_TYPES, changes=st.dictionaries(ATTRIBUTES, JSON_VALUES, max_size=4))
def test_nearly_events_are_an_event_or_a_refusal(
    content_type: str, changes: dict[str, object]
) -> None:
    event_or_refusal({"content-type": content_type}, json.dumps(ENVELOPE | changes).encode())


@given(
    content_type=CONTENT_TYPES,
    changes=st.dictionaries(ATTRIBUTES.map("ce-".__add__), st.text(), max_size=4),
    body=st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()),
)
def test_nearly_binary_events(content_type: str, changes: dict[str, str], body: bytes) -> None:
    event_or_refusal(BINARY | changes | {"Content-Type": content_type}, body)
