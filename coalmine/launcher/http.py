"""The launcher's HTTP face. Every error is an RFC 9457 problem that says what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from coalmine._base.errors import CoalmineError
from coalmine.events import MAX_EVENT_BYTES, EventError
from coalmine.launcher.answers import Answer, Answers, Refusal
from coalmine.launcher.bindings import NotTakenError, RefusedError
from coalmine.launcher.cancel import Canceller
from coalmine.launcher.intake import Intake
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.read import select_release, select_releases
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.telemetry import CONTENT_TYPE_LATEST, Telemetry

__all__ = ["make_app"]

logger = logging.getLogger(__name__)

RETRY_SECONDS = "5"


def make_app(
    intake: Intake,
    canceller: Canceller,
    ledger: Ledger,
    telemetry: Telemetry,
    ready: Callable[[], bool],
    *,
    answers: Answers,
) -> Starlette:
    """Build the application.

    Args:
        intake: Takes events.
        canceller: Ends releases.
        ledger: Where releases are read from.
        telemetry: What ``/metrics`` shows, and counts answers.
        ready: Tells whether new releases would be run.
        answers: Keeps what people decide about releases.
    """

    async def take(request: Request) -> Response:
        answer = await _take(intake, request)
        telemetry.answered(answer.status_code)
        return answer

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
        ledger.count_by_state()
        if ready():
            return PlainTextResponse("ready\n")
        return _problem(503, "the launcher is not ready to run releases", "try again soon")

    def metrics(_: Request) -> Response:
        return Response(telemetry.text(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/", take, methods=["POST"]),
            Route("/events", take, methods=["POST"]),
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


async def _take(intake: Intake, request: Request) -> Response:
    try:
        body = await _read_body(request)
        headers = [(name, value) for name, value in request.headers.items()]
        taken = await run_in_threadpool(intake.take, headers, body)
    except CoalmineError as error:
        return _refusal(error)
    url = _url_of(request, taken.release_id)
    return JSONResponse(
        {"id": taken.release_id, "url": url, "state": taken.state},
        status_code=202 if taken.new else 200,
        headers={"Location": url},
    )


def _url_of(request: Request, release_id: str) -> str:
    return str(request.base_url.replace(path=f"/releases/{release_id}", query=""))


def _unknown(release_id: str) -> Response:
    return _problem(404, f"there is no release {release_id}", "see GET /releases")


def _cancel(canceller: Canceller, request: Request) -> Response:
    # The one request without a body that changes something: any web page could send it.
    if "origin" in request.headers:
        return _problem(403, "web pages may not cancel releases", "use: coalmine cancel ID")
    release_id = request.path_params["release_id"]
    return _cancelled(request, release_id, canceller.cancel(release_id))


def _answer(answers: Answers, answer: Answer, request: Request) -> Response:
    if "origin" in request.headers:  # as above
        return _problem(403, "web pages may not decide about releases", "use: coalmine approve ID")
    release_id = request.path_params["release_id"]
    refusal = answers.give(release_id, answer)
    if refusal is Refusal.UNKNOWN:
        return _unknown(release_id)
    if refusal:
        detail = f"the release {release_id} is not {answer}: {refusal}"
        return _problem(409, detail, "see: coalmine runs ID; to end it: coalmine cancel ID")
    url = _url_of(request, release_id)
    return JSONResponse({"id": release_id, "url": url, "state": "running", "answer": answer})


def _cancelled(request: Request, release_id: str, state: ReleaseState | None) -> Response:
    if state is None:
        return _unknown(release_id)
    if state not in {ReleaseState.CANCELLED, ReleaseState.RUNNING}:
        detail = f"the release {release_id} has ended already: {state}"
        return _problem(409, detail, "ask for a new release")
    return JSONResponse(
        {"id": release_id, "url": _url_of(request, release_id), "state": state},
        status_code=202 if state is ReleaseState.RUNNING else 200,
    )


async def _read_body(request: Request) -> bytes:
    """Read the body, but never more of it than may be."""
    parts: list[bytes] = []
    length = 0
    try:
        async for part in request.stream():
            length += len(part)
            if length > MAX_EVENT_BYTES:
                raise EventError(
                    f"the body has more than {MAX_EVENT_BYTES} bytes",
                    status=413,
                    fix="send a reference to the data, not the data",
                )
            parts.append(part)
    except ClientDisconnect:
        raise EventError("the body was cut off", fix="send it again") from None
    return b"".join(parts)


def _refusal(error: CoalmineError) -> Response:
    if isinstance(error, EventError):
        return _problem(error.status, error.message, error.fix)
    if isinstance(error, NotTakenError):
        # The message is a good event at the right place: only its content finds no taker.
        return _problem(422, error.message, error.fix)
    if isinstance(error, RefusedError):
        return _problem(400, error.message, error.fix, field=error.field)
    return _unavailable(error)


def _unavailable(error: CoalmineError) -> Response:
    logger.error(error.message, extra={"fix": error.fix})
    return _problem(503, error.message, error.fix, headers={"Retry-After": RETRY_SECONDS})


async def _on_coalmine_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, CoalmineError)
    return _unavailable(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    fix = "send events with POST / or /events; read GET /releases, /healthz, /readyz, /metrics"
    return _problem(error.status_code, detail, fix, headers=dict(error.headers or {}))


async def _on_bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "the launcher failed at this request", "see its log, and try again")


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _problem(
    status: int, detail: str, fix: str, *, headers: dict[str, str] | None = None, field: str = ""
) -> Response:
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "fix": fix}
    return JSONResponse(
        content | ({"field": field} if field else {}),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )
