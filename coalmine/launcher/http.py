"""The launcher's HTTP face. Every error is an RFC 9457 problem that says what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from coalmine._base.errors import CoalmineError
from coalmine.launcher.answers import Answer, Answers, Refusal
from coalmine.launcher.cancel import Canceller
from coalmine.launcher.intake import Intake
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.problem import problem, refusal
from coalmine.launcher.read import select_release, select_releases
from coalmine.launcher.receive import Receiver, url_of
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.telemetry import CONTENT_TYPE_LATEST, Telemetry
from coalmine.launcher.webhook import handshake

__all__ = ["make_app"]

logger = logging.getLogger(__name__)

EVENT_PATHS = frozenset({"/", "/events"})


def make_app(
    intake: Intake,
    canceller: Canceller,
    ledger: Ledger,
    telemetry: Telemetry,
    ready: Callable[[], bool],
    *,
    answers: Answers,
) -> ASGIApp:
    """Build the application.

    Args:
        intake: Takes events.
        canceller: Ends releases.
        ledger: Where releases are read from.
        telemetry: What ``/metrics`` shows, and counts answers.
        ready: Tells whether new releases would be run.
        answers: Keeps what people decide about releases.
    """
    receiver = Receiver(intake, telemetry)
    others = _others(canceller, ledger, telemetry, ready, answers)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        takes = (
            scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in EVENT_PATHS
        )
        await (receiver if takes else others)(scope, receive, send)

    return app


def _others(
    canceller: Canceller,
    ledger: Ledger,
    telemetry: Telemetry,
    ready: Callable[[], bool],
    answers: Answers,
) -> Starlette:
    def releases(_: Request) -> Response:
        with ledger.connect() as connection:
            return JSONResponse(select_releases(connection))

    def release(request: Request) -> Response:
        release_id = request.path_params["release_id"]
        with ledger.connect() as connection:
            found = select_release(connection, release_id)
        return _unknown(release_id) if found is None else JSONResponse(found)

    def cancel(request: Request) -> Response:
        return _cancel(canceller, request)

    approve = partial(_answer, answers, Answer.APPROVED)
    reject = partial(_answer, answers, Answer.REJECTED)

    def readyz(_: Request) -> Response:
        ledger.any_open()
        if ready():
            return PlainTextResponse("ready\n")
        return problem(503, "the launcher is not ready to run releases", "try again soon")

    def metrics(_: Request) -> Response:
        return Response(telemetry.text(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            *(Route(path, _options, methods=["OPTIONS"]) for path in EVENT_PATHS),
            Route("/releases", releases),
            Route("/releases/{release_id}", release),
            Route("/releases/{release_id}/cancel", cancel, methods=["POST"]),
            Route("/releases/{release_id}/approve", approve, methods=["POST"]),
            Route("/releases/{release_id}/reject", reject, methods=["POST"]),
            Route("/healthz", _healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ],
        exception_handlers={
            CoalmineError: _on_coalmine_error,
            HTTPException: _on_http_exception,
            500: _on_bug,
        },
    )


def _options(request: Request) -> Response:
    return Response(status_code=200, headers=handshake(request.headers))


def _unknown(release_id: str) -> Response:
    return problem(404, f"there is no release {release_id}", "see GET /releases")


def _cancel(canceller: Canceller, request: Request) -> Response:
    # The one request without a body that changes something: any web page could send it.
    if "origin" in request.headers:
        return problem(403, "web pages may not cancel releases", "use: coalmine cancel ID")
    release_id = request.path_params["release_id"]
    return _cancelled(request, release_id, canceller.cancel(release_id))


def _answer(answers: Answers, answer: Answer, request: Request) -> Response:
    if "origin" in request.headers:  # as above
        return problem(403, "web pages may not decide about releases", "use: coalmine approve ID")
    release_id = request.path_params["release_id"]
    refused = answers.give(release_id, answer)
    if refused is Refusal.UNKNOWN:
        return _unknown(release_id)
    if refused:
        detail = f"the release {release_id} is not {answer}: {refused}"
        return problem(409, detail, "see: coalmine runs ID; to end it: coalmine cancel ID")
    url = url_of(request, release_id)
    return JSONResponse({"id": release_id, "url": url, "state": "running", "answer": answer})


def _cancelled(request: Request, release_id: str, state: ReleaseState | None) -> Response:
    if state is None:
        return _unknown(release_id)
    if state not in {ReleaseState.CANCELLED, ReleaseState.RUNNING}:
        detail = f"the release {release_id} has ended already: {state}"
        return problem(409, detail, "ask for a new release")
    return JSONResponse(
        {"id": release_id, "url": url_of(request, release_id), "state": state},
        status_code=202 if state is ReleaseState.RUNNING else 200,
    )


async def _on_coalmine_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, CoalmineError)
    return refusal(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    fix = "send events with POST / or /events; read GET /releases, /healthz, /readyz, /metrics"
    return problem(error.status_code, detail, fix, headers=dict(error.headers or {}))


async def _on_bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the launcher failed at this request", "see its log, and try again")


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")
