"""Takes events over HTTP: the one path that must be quick, so it stands before the router."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from coalmine._base.errors import CoalmineError
from coalmine.events import MAX_EVENT_BYTES, EventError, Message, read_events
from coalmine.launcher.access import Access
from coalmine.launcher.admission import Admitted
from coalmine.launcher.caller import Right, check_events
from coalmine.launcher.intake import Intake
from coalmine.launcher.problem import refusal
from coalmine.launcher.telemetry import Telemetry

__all__ = ["Receiver", "url_of"]

BODY_SECONDS = 10.0
"""For the whole body: a sender that takes longer is cut off."""
LARGE_BYTES = 1 << 16
"""A body above this is read in a thread, so that the other senders do not wait for it."""


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
        request = Request(scope, receive)
        try:
            answer = await self._take(request)
        except CoalmineError as error:
            answer = refusal(error)
        self._telemetry.answered(answer.status_code)
        await answer(scope, receive, send)

    async def _take(self, request: Request) -> Response:
        caller = await self._access.admit(request.headers, Right.SEND)
        body = await read_body(request)
        if caller is None:
            caller = self._access.admit_signed(request.headers, body)
        message = await _read(request, body)
        check_events(caller, message.events)
        self._access.count(caller, len(message.events))
        admitted = await self._intake.take(message.events)
        entries = [_entry(request, one) for one in admitted]
        status = HTTPStatus.ACCEPTED if any(one.new for one in admitted) else HTTPStatus.OK
        if message.batched:
            return _json({"events": entries}, status)
        return _json(entries[0], status, {"Location": entries[0]["url"]})


async def _read(request: Request, body: bytes) -> Message:
    pairs = request.headers.items()
    if len(body) > LARGE_BYTES:
        return await asyncio.to_thread(read_events, pairs, body)
    return read_events(pairs, body)


def url_of(request: Request, release_id: str) -> str:
    """Give the URL under which a release is read, as the sender reaches this launcher."""
    return str(request.base_url.replace(path=f"/releases/{release_id}", query=""))


def _entry(request: Request, admitted: Admitted) -> dict[str, str]:
    url = url_of(request, admitted.release_id)
    return {"id": admitted.release_id, "url": url, "state": admitted.state}


def _json(content: object, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, headers, media_type="application/json")


async def read_body(request: Request) -> bytes:
    """Read a body, but never more of it than may be, nor for longer.

    Raises:
        EventError: It is too large, too slow or cut off.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_body(request)
    except TimeoutError:
        raise EventError(
            f"the body did not arrive within {BODY_SECONDS:.0f} seconds",
            status=408,
            fix="send it again, in one go",
        ) from None
    except ClientDisconnect:
        raise EventError("the body was cut off", fix="send it again") from None


async def _read_body(request: Request) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > MAX_EVENT_BYTES:
            raise EventError(
                f"the body has more than {MAX_EVENT_BYTES} bytes",
                status=413,
                fix="send a reference to the data, not the data",
            )
        parts.append(part)
    return b"".join(parts)
