"""The data of an event: JSON is parsed, anything else is carried as it came.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md says which media
types are JSON, and what ``data`` and ``data_base64`` hold in structured mode.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from coalmine.events.event import EventError, Opaque
from coalmine.events.headers import media_type
from coalmine.events.jsontext import parse_json

__all__ = ["JSON_MIME", "check_charset", "parse_body", "read_data", "structured_data"]

JSON_MIME = "application/json"
TOKEN = r"[a-z0-9!#$&'*+.^_`|~-]+"  # noqa: S105 - RFC 9110's token
MIME = re.compile(rf"{TOKEN}/{TOKEN}")
JSON_TYPE = re.compile(rf"{TOKEN}/({TOKEN}\+)?json")
CHARSETS = {"utf-8", "utf8", "us-ascii"}


def read_data(raw: bytes, content_type: str) -> object:
    """Read data that came as bytes.

    Args:
        raw: The bytes.
        content_type: What they are said to be; empty if nothing is said.

    Raises:
        EventError: They are not what they are said to be, or it cannot be said so.
    """
    mime, charset = media_type(content_type)
    if _is_json(mime):
        check_charset(charset)
        return parse_body(raw, "the data")
    return Opaque(raw, mime)


def structured_data(payload: Mapping[str, object], content_type: str | None) -> object:
    """Read the data of an event that came as a JSON object.

    Args:
        payload: Its member ``data`` or ``data_base64``, or neither.
        content_type: Its ``datacontenttype``; None if it has none, which means JSON for ``data``.

    Raises:
        EventError: The data is not what it is said to be.
    """
    if payload.get("data_base64") is not None:
        return read_data(_decode(payload["data_base64"]), content_type or "")
    mime, charset = media_type(JSON_MIME if content_type is None else content_type)
    data = payload.get("data")
    if _is_json(mime):
        check_charset(charset)
        return data
    if data is None or isinstance(data, str):
        return None if data is None else Opaque(data.encode(), mime)
    raise EventError(
        f"the data is said to be {mime}, and is no text",
        fix="send text, or data_base64; or leave datacontenttype out for JSON",
    )


def parse_body(raw: bytes, what: str) -> object:
    """Parse JSON.

    Raises:
        EventError: It is none.
    """
    try:
        return parse_json(raw)
    except ValueError as error:
        raise EventError(f"{what} is no JSON: {error}", fix="send valid JSON in UTF-8") from None


def check_charset(charset: str) -> None:
    """See that JSON is said to be in UTF-8.

    Raises:
        EventError: It is said to be in another charset.
    """
    if charset not in CHARSETS:
        raise EventError(f"the charset {charset} is not taken", status=415, fix="send UTF-8")


def _is_json(mime: str) -> bool:
    if mime and not MIME.fullmatch(mime):
        raise EventError(
            f"the data's media type {mime!r} is none", fix="send one such as application/json"
        )
    return JSON_TYPE.fullmatch(mime) is not None


def _decode(encoded: object) -> bytes:
    try:
        return base64.b64decode(str(encoded).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError):
        raise EventError("data_base64 is no base64", fix="encode the data with base64") from None
