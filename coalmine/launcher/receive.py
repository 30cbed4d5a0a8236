"""Takes events over HTTP: the one path that must be quick, so it stands before the router.

It speaks ASGI itself: objects for request and response would cost more than all the checks do.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from coalmine._base.errors import CoalmineError
from coalmine.events import MAX_EVENT_BYTES, EventError, Message, read_message
from coalmine.events.headers import came_twice, matters
from coalmine.launcher.access import Access
from coalmine.launcher.admission import Admitted
from coalmine.launcher.caller import Right, check_events
from coalmine.launcher.intake import Intake
from coalmine.launcher.problem import refusal
from coalmine.launcher.telemetry import Telemetry

__all__ = ["Receiver", "read_body", "url_of"]

BODY_SECONDS = 10.0
"""For the whole body: a sender that takes longer is cut off."""
LARGE_BYTES = 1 << 16
"""A body above this is read in a thread, so that the other senders do not wait for it."""
PUBLIC_URL = "coalmine.public_url"
"""Where a scope has the base URL under which others read releases, if it was said."""
ACCEPTED, OK = HTTPStatus.ACCEPTED.value, HTTPStatus.OK.value


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    location: str = ""


class Receiver:
    """An ASGI application for the requests that bring events.

    Args:
        intake: Takes events.
        access: Decides who may send them.
        telemetry: Counts answers.
    """

    def __init__(self, intake: Intake, access: Access, telemetry: Telemetry) -> None:
        self._intake = intake
        self._access = access
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        try:
            answer = await self._take(scope, receive)
        except CoalmineError as error:
            refused = refusal(error)
            self._telemetry.answered(refused.status_code)
            await refused(scope, receive, send)
        else:
            self._telemetry.answered(answer.status)
            await _send(answer, send)

    async def _take(self, scope: Scope, receive: Receive) -> _Answer:
        headers, twice = _headers_of(scope["headers"])
        caller = await self._access.admit(headers, Right.SEND)
        if _said_length(headers) > MAX_EVENT_BYTES:
            raise _too_large()
        body = await read_body(receive)
        if caller is None:
            caller = self._access.admit_signed(headers, body)
        if twice:
            raise came_twice(twice)
        message = await _read(headers, body)
        check_events(caller, message.events)
        self._access.count(caller, len(message.events))
        admitted = await self._intake.take(message.events)
        url = _base_of(scope, headers.get("host"))
        return _answer(admitted, url, batched=message.batched)


def _headers_of(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], str]:
    """Give the headers by name, and the name of one that may not come twice but did.

    The server has made the names small already. Of a name that came twice the first counts.
    """
    headers: dict[str, str] = {}
    twice = ""
    for name, value in raw:
        key = name.decode("latin-1")
        if key not in headers:
            headers[key] = value.decode("latin-1").strip(" \t")
        elif matters(key):
            twice = key
    return headers, twice


async def _read(headers: Mapping[str, str], body: bytes) -> Message:
    if len(body) > LARGE_BYTES:
        return await asyncio.to_thread(read_message, headers, body)
    return read_message(headers, body)


def _answer(admitted: Sequence[Admitted], url: str, *, batched: bool) -> _Answer:
    told = _json_text(url)
    # Neither an id nor a state has a character that JSON would not take as it is.
    entries = [
        f'{{"id": "{one.release_id}", "url": "{told}{one.release_id}", "state": "{one.state}"}}'
        for one in admitted
    ]
    status = ACCEPTED if any(one.new for one in admitted) else OK
    if batched:
        return _Answer(status, f'{{"events": [{", ".join(entries)}]}}'.encode())
    return _Answer(status, entries[0].encode(), url + admitted[0].release_id)


@functools.lru_cache(maxsize=256)
def _json_text(text: str) -> str:
    """Write a text as it stands between the quotes of JSON."""
    return json.dumps(text)[1:-1]


async def _send(answer: _Answer, send: Send) -> None:
    headers = [
        (b"content-length", str(len(answer.body)).encode()),
        (b"content-type", b"application/json"),
    ]
    if answer.location:
        headers.append((b"location", answer.location.encode("latin-1")))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def url_of(request: Request, release_id: str) -> str:
    """Give the URL under which a release is read: the public one, else as it is reached now."""
    return _base_of(request.scope, request.headers.get("host")) + release_id


def _base_of(scope: Scope, host: str | None) -> str:
    if public := scope.get(PUBLIC_URL):
        return f"{public.rstrip('/')}/releases/"
    server = scope.get("server")
    return _releases_url(scope["scheme"], tuple(server) if server else None, host)


@functools.lru_cache(maxsize=256)
def _releases_url(scheme: str, server: tuple[object, ...] | None, host: str | None) -> str:
    headers = [(b"host", host.encode("latin-1"))] if host is not None else []
    base: Mapping[str, object] = {"scheme": scheme, "server": server, "headers": headers}
    return str(URL(scope={**base, "path": "/releases/"}))


def _said_length(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "")
    return int(length[:20]) if length.isascii() and length.isdigit() else 0


def _too_large() -> EventError:
    return EventError(
        f"the body has more than {MAX_EVENT_BYTES} bytes",
        status=413,
        fix="send a reference to the data, not the data",
    )


async def read_body(receive: Receive) -> bytes:
    """Read a body, but never more of it than may be, nor for longer.

    Raises:
        EventError: It is too large, too slow or cut off.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_body(receive)
    except TimeoutError:
        raise EventError(
            f"the body did not arrive within {BODY_SECONDS:.0f} seconds",
            status=408,
            fix="send it again, in one go",
        ) from None


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise EventError("the body was cut off", fix="send it again")
        part = message.get("body", b"")
        length += len(part)
        if length > MAX_EVENT_BYTES:
            raise _too_large()
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)
