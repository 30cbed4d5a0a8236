"""The launcher's HTTP face. Every error is an RFC 9457 problem that says what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from coalmine._base.errors import CoalmineError
from coalmine.launcher.access import Access
from coalmine.launcher.api import ReleasesApi
from coalmine.launcher.caller import DECIDE, Right
from coalmine.launcher.connection import MAX_HEAD_BYTES, SHORT_HEAD
from coalmine.launcher.intake import Intake
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.problem import problem, refusal
from coalmine.launcher.receive import PUBLIC_URL, Receiver
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.telemetry import CONTENT_TYPE_LATEST, Telemetry
from coalmine.launcher.webhook import ALLOW, handshake

__all__ = ["make_app"]

logger = logging.getLogger(__name__)

EVENT_PATHS = frozenset({"/", "/events"})
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})


def make_app(
    intake: Intake,
    api: ReleasesApi,
    ledger: Ledger,
    telemetry: Telemetry,
    ready: Callable[[], bool],
    *,
    access: Access,
    settings: Sequence[Reloaded[Any]],
    public_url: str = "",
) -> ASGIApp:
    """Build the application.

    Args:
        intake: Takes events.
        api: Tells of releases, and decides about them.
        ledger: Where releases stand.
        telemetry: What ``/metrics`` shows, and counts answers.
        ready: Tells whether new releases would be run.
        access: Decides who may do what.
        settings: What was read from files; ``/healthz`` tells when one of them is wrong.
        public_url: Base of the URLs in answers; that which a sender reached unless given.
    """
    receiver = Receiver(intake, access, telemetry)
    others = _others(api, _probes(ledger, telemetry, ready, settings), access)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if SHORT_HEAD not in scope and _head_bytes(scope) > MAX_HEAD_BYTES:
            large = problem(
                431, f"the head has more than {MAX_HEAD_BYTES} bytes", "send less of it"
            )
            await large(scope, receive, send)
            return
        scope[PUBLIC_URL] = public_url
        takes = (
            scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in EVENT_PATHS
        )
        await (receiver if takes else others)(scope, receive, send)

    return app


def _head_bytes(scope: Scope) -> int:
    target = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    return target + sum(len(name) + len(value) for name, value in scope.get("headers", ()))


def _others(
    api: ReleasesApi,
    probes: list[Route],
    access: Access,
) -> Starlette:
    def options(request: Request) -> Response:
        granted = handshake(request.headers, origins=access.origins, rate=access.rate)
        return Response(status_code=200, headers=granted)

    return Starlette(
        middleware=[Middleware(Guard, access=access)],
        routes=[
            *(Route(path, options, methods=["OPTIONS"]) for path in EVENT_PATHS),
            *api.routes(),
            *probes,
        ],
        exception_handlers={
            CoalmineError: _on_coalmine_error,
            HTTPException: _on_http_exception,
            500: _on_bug,
        },
    )


def _probes(
    ledger: Ledger,
    telemetry: Telemetry,
    ready: Callable[[], bool],
    settings: Sequence[Reloaded[Any]],
) -> list[Route]:
    def healthz(_: Request) -> Response:
        for one in settings:
            one()  # looks at the file, so that a probe finds a wrong one before an event does
        stale = [
            f"{one.what} before still hold: {one.problem}\n" for one in settings if one.problem
        ]
        return PlainTextResponse("".join(["ok\n", *stale]))

    def readyz(_: Request) -> Response:
        ledger.any_open()
        if ready():
            return PlainTextResponse("ready\n")
        return problem(503, "the launcher is not ready to run releases", "try again soon")

    def metrics(_: Request) -> Response:
        return Response(telemetry.text(), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]


class Guard:
    """Lets through, of all requests but those that bring events, those that may be made.

    Open to everybody are only the probes, the counts, and the question whether events may be sent.

    Args:
        app: What is behind it.
        access: Decides.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "http" and not _is_open(scope):
            right = _right(scope)
            try:
                await self._access.admit(Headers(scope=scope), right)
            except CoalmineError as error:
                await refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _right(scope: Scope) -> Right:
    # A gate that holds its canary changes what people are shown, and nothing else.
    verb = scope["path"].rpartition("/")[2]
    return Right(verb) if verb in DECIDE and scope["method"] == "POST" else Right.READ


def _is_open(scope: Scope) -> bool:
    return scope["path"] in OPEN_PATHS or (
        scope["path"] in EVENT_PATHS and scope["method"] == "OPTIONS"
    )


async def _on_coalmine_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, CoalmineError)
    return refusal(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    fix = "send events with POST / or /events; the rest is in GET /openapi.json"
    headers = dict(error.headers or {})
    if "Allow" in headers and request.url.path in EVENT_PATHS:
        headers |= ALLOW  # the framework does not know of POST there
    return problem(error.status_code, detail, fix, headers=headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the launcher failed at this request", "see its log, and try again")
