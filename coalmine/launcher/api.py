"""Releases over HTTP: list, one, cancel, retry, approve, reject, hold. See openapi.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from importlib.resources import files
from typing import Any

import yaml
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from coalmine._base.errors import InputError
from coalmine.launcher.answers import Answer, Answers, Held, Refusal
from coalmine.launcher.cancel import Canceller
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.problem import problem
from coalmine.launcher.query import parse_query
from coalmine.launcher.read import select_page, select_release
from coalmine.launcher.receive import read_body, url_of
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.retry import Retrier
from coalmine.launcher.stream import Logs, parse_position

__all__ = ["ReleasesApi", "openapi_document"]

RELEASE_ID = re.compile(r"[a-z0-9]{1,16}")
MOST_REASON = 2000


@cache
def openapi_document() -> dict[str, Any]:
    """Give the OpenAPI document of everything that a launcher answers."""
    text = files("coalmine.launcher").joinpath("openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


class ReleasesApi:
    """The part of the HTTP face that tells of releases, and decides about them.

    Args:
        ledger: Where releases stand.
        canceller: Ends releases.
        answers: Keeps what people decide.
        retrier: Asks for releases again.
        logs: Streams what steps write.
    """

    def __init__(
        self,
        ledger: Ledger,
        canceller: Canceller,
        answers: Answers,
        retrier: Retrier,
        logs: Logs,
    ) -> None:
        self._ledger = ledger
        self._canceller = canceller
        self._answers = answers
        self._retrier = retrier
        self._logs = logs

    def routes(self) -> list[Route]:
        """Give what there is to ask."""
        one = "/releases/{release_id}"
        posts: dict[str, Callable[[Request], Response | Awaitable[Response]]] = {
            "cancel": self._cancel,
            "retry": self._retry,
            "approve": partial(self._answer, Answer.APPROVED),
            "reject": partial(self._answer, Answer.REJECTED),
            "hold": self._hold,
        }
        return [
            Route("/openapi.json", lambda _: JSONResponse(openapi_document())),
            Route("/releases", self._list),
            Route(one, self._one),
            Route(f"{one}/logs", self._stream),
            *(Route(f"{one}/{verb}", act, methods=["POST"]) for verb, act in posts.items()),
        ]

    def _list(self, request: Request) -> Response:
        query = parse_query(request.query_params.multi_items())
        with self._ledger.connect() as connection:
            page = select_page(connection, query)
        headers = {}
        if page.following:
            url = url_of(request, "").rstrip("/")
            headers["Link"] = f'<{url}?{page.following.parameters()}>; rel="next"'
        return JSONResponse(page.entries, headers=headers)

    def _one(self, request: Request) -> Response:
        release_id = request.path_params["release_id"]
        found = None
        if RELEASE_ID.fullmatch(release_id):
            with self._ledger.connect() as connection:
                found = select_release(connection, release_id)
        return unknown(release_id) if found is None else JSONResponse(found)

    async def _stream(self, request: Request) -> Response:
        release_id = request.path_params["release_id"]
        asked = parse_stream(request.query_params.multi_items())
        position = parse_position(request.headers.get("last-event-id", ""))
        known = RELEASE_ID.fullmatch(release_id)
        if not known or await run_in_threadpool(self._logs.find, release_id) is None:
            return unknown(release_id)
        if self._logs.full:
            return problem(
                503, "too many follow logs", "try again later", headers={"Retry-After": "5"}
            )
        events = self._logs.stream(release_id, position, **asked)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    def _cancel(self, request: Request) -> Response:
        release_id = request.path_params["release_id"]
        state = self._canceller.cancel(release_id) if RELEASE_ID.fullmatch(release_id) else None
        if state is None:
            return unknown(release_id)
        if state not in {ReleaseState.CANCELLED, ReleaseState.RUNNING}:
            detail = f"the release {release_id} has ended already: {state}"
            return problem(409, detail, "ask for a new release")
        return _told(request, release_id, state, 202 if state is ReleaseState.RUNNING else 200)

    def _retry(self, request: Request) -> Response:
        release_id = request.path_params["release_id"]
        made = self._retrier.retry(release_id) if RELEASE_ID.fullmatch(release_id) else None
        if made is None:
            return unknown(release_id)
        self._canceller.wake()
        return _told(request, made.release_id, made.state, 202 if made.new else 200)

    def _answer(self, answer: Answer, request: Request) -> Response:
        release_id = request.path_params["release_id"]
        refused = (
            self._answers.give(release_id, answer)
            if RELEASE_ID.fullmatch(release_id)
            else Refusal.UNKNOWN
        )
        if refused is Refusal.UNKNOWN:
            return unknown(release_id)
        if refused:
            detail = f"the release {release_id} is not {answer}: {refused}"
            return problem(409, detail, "see: coalmine runs ID; to end it: coalmine cancel ID")
        return _told(request, release_id, "running", answer=answer)

    async def _hold(self, request: Request) -> Response:
        release_id = request.path_params["release_id"]
        if "origin" in request.headers:
            return problem(403, "web pages may not hold a canary", "let its gate do it")
        reason = _reason(await read_body(request.receive))
        held: Held | Refusal = Refusal.UNKNOWN
        if RELEASE_ID.fullmatch(release_id):
            held = await run_in_threadpool(self._answers.hold, release_id, reason)
        if held is Refusal.UNKNOWN:
            return unknown(release_id)
        if isinstance(held, Refusal):
            return problem(409, f"the release {release_id} does not run", "see: coalmine runs ID")
        return _told(request, release_id, "running", answer=held.answer or "")


def unknown(release_id: str) -> Response:
    """Answer that there is no such release."""
    return problem(404, f"there is no release {release_id}", "see GET /releases")


def parse_stream(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Read how a log is to be streamed from the parameters of a URL.

    Raises:
        InputError: A parameter is unknown or has no legal value.
    """
    asked: dict[str, Any] = {}
    for name, text in pairs:
        if name not in {"step", "follow"} or name in asked:
            raise InputError("it is unknown, or stands there twice", field=name, fix="leave it out")
        if name == "follow" and text not in {"true", "false"}:
            raise InputError("it is neither true nor false", field=name, fix="give one of them")
        asked[name] = text if name == "step" else text == "true"
    return asked


def _told(
    request: Request, release_id: str, state: str, status: int = 200, **more: str
) -> Response:
    content = {"id": release_id, "url": url_of(request, release_id), "state": state, **more}
    return JSONResponse(content, status_code=status)


def _reason(body: bytes) -> str:
    """Read why a canary is held.

    Raises:
        InputError: It is not said as it should be.
    """
    try:
        reason = json.loads(body)["reason"]
    except (ValueError, TypeError, KeyError, RecursionError):
        reason = None
    if not isinstance(reason, str) or "\x00" in reason or not _is_text(reason):
        raise InputError(
            "there is no reason why the canary is held",
            field="reason",
            fix='send {"reason": "..."} as application/json',
        )
    return reason[:MOST_REASON]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say
        return False
    return True
