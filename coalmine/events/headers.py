"""The headers of the HTTP binding: content types, and attributes in ``ce-`` headers."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from coalmine.events.event import EventError

__all__ = [
    "MediaType",
    "came_twice",
    "ce_attributes",
    "fold_headers",
    "matters",
    "media_type",
]

ENCODED = re.compile(r'[^\x00-\x7f]|["%]')
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
MediaType = tuple[str, str]
"""A media type in lower case without its parameters, and its charset (``utf-8`` if unsaid)."""


def fold_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give headers by their lower-case names.

    Raises:
        EventError: A header that matters here came more than once.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    folded: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        if key in folded and matters(key):
            raise came_twice(key)
        folded[key] = value.strip(" \t")
    return folded


def matters(key: str) -> bool:
    """Tell whether a header says what an event is, and so may come but once."""
    return key.startswith("ce-") or key == "content-type"


def came_twice(key: str) -> EventError:
    """Say that a header came more than once."""
    return EventError(f"the header {key} came twice", fix=f"send {key} once")


@functools.lru_cache(maxsize=256)
def media_type(value: str) -> MediaType:
    """Split a Content-Type into its type and its charset."""
    head, *parameters = value.split(";")
    charset = "utf-8"
    for parameter in parameters:
        name, _, given = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = given.strip().strip('"').lower()
    return head.strip().lower(), charset


def ce_attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Decode the attributes in the ``ce-`` headers.

    Raises:
        EventError: A name or a value breaks the HTTP binding's rules.
    """
    found = {key[3:]: value for key, value in headers.items() if key.startswith("ce-")}
    if "datacontenttype" in found:
        raise EventError(
            "ce-datacontenttype is not a header of binary mode",
            fix="say the data's media type in Content-Type",
        )
    return {
        # What has neither a quote nor a percent sign stands for itself.
        name: _decode(name, value) if ENCODED.search(value) else value
        for name, value in found.items()
    }


def _decode(name: str, value: str) -> str:
    quoted = QUOTED.fullmatch(value)
    plain = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value
    try:
        return unquote_to_bytes(plain.encode("ascii")).decode("utf-8")
    except UnicodeError:
        raise EventError(
            f"the header ce-{name} is not ASCII with percent-encoded UTF-8",
            fix="percent-encode every character beyond ASCII, space and quotes",
        ) from None
