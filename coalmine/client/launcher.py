"""Read releases from a launcher over HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from coalmine._base.bearer import bearer
from coalmine._base.errors import CoalmineError, InputError

__all__ = ["StreamEvent", "follow_logs", "get_metrics", "get_release", "get_releases"]

TIMEOUT = 10.0
RELEASE = frozenset({"id", "service", "name", "version", "state", "reason", "held", "steps"})
"""What a launcher tells of every release, among others."""
STREAM_SECONDS = 60.0
"""A launcher with nothing to tell says so four times within it."""


def get_release(url: str, release_id: str, *, token: str = "") -> dict[str, Any]:
    """Read one release.

    Args:
        url: The launcher's base URL.
        release_id: The release's id.
        token: Shown to the launcher, if any.

    Returns:
        As ``coalmine runs ID -o json`` prints it.

    Raises:
        InputError: There is no such release, or the launcher refuses to tell.
        CoalmineError: The launcher does not answer, or failed.
    """
    [found] = _releases(url, [_get(url, f"/releases/{quote(release_id, safe='')}", token)])
    return found


def get_releases(url: str, query: str = "", *, token: str = "") -> list[dict[str, Any]]:
    """Read the newest releases that the query of a URL takes, the newest first.

    Raises:
        InputError: The launcher refuses the query.
        CoalmineError: The launcher does not answer, or failed.
    """
    return _releases(url, _get(url, f"/releases?{query}", token))


def get_metrics(url: str) -> str:
    """Read what Prometheus reads of a launcher.

    Raises:
        InputError: It is no URL of a launcher.
        CoalmineError: It does not answer, or failed.
    """
    with _told(url):
        answer = httpx.get(f"{url.rstrip('/')}/metrics", timeout=TIMEOUT)
    return answer.text if answer.is_success else str(_content(url, answer))


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a release's log stream.

    Attributes:
        kind: ``log``, ``step``, ``release`` or, last, ``end``.
        id: Where the stream is after it; to go on from there.
        data: What it says.
    """

    kind: str
    id: str
    data: dict[str, Any]


def follow_logs(
    url: str, release_id: str, *, token: str = "", step: str = "", position: str = ""
) -> Iterator[StreamEvent]:
    """Read what a release's steps write, until it ends.

    Args:
        url: The launcher's base URL.
        release_id: The release's id.
        token: Shown to the launcher, if any.
        step: Only the log of this step; all unless given.
        position: The id of the last event that was read; everything unless given.

    Raises:
        InputError: There is no such release, or the launcher refuses to tell.
        CoalmineError: The launcher does not answer, or went away before the end; go on from the id
            of the last event.
    """
    headers = bearer(token) | ({"last-event-id": position} if position else {})
    asked = {"step": step} if step else {}
    target = f"{url.rstrip('/')}/releases/{quote(release_id, safe='')}/logs"
    timeout = httpx.Timeout(TIMEOUT, read=STREAM_SECONDS)
    with (
        _told(url),
        httpx.stream("GET", target, params=asked, headers=headers, timeout=timeout) as answer,
    ):
        if not answer.is_success:
            answer.read()
            _content(url, answer)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise _no_launcher(url, answer.status_code)
        for event in _events(answer.iter_lines()):
            yield event
            if event.kind == "end":
                return
    raise CoalmineError(f"the launcher at {url} ended the stream", fix="follow it again")


def _events(lines: Iterable[str]) -> Iterator[StreamEvent]:
    """Part lines into events: the fields event, id and data, each once, then an empty line."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line and fields.get("event"):
            data = json.loads(fields.get("data", "{}"))
            yield StreamEvent(fields["event"], fields.get("id", ""), data)
            fields = {}


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InputError(
            f"{url!r} is no URL of a launcher: {error}", fix="give one like http://127.0.0.1:8080"
        ) from None
    except httpx.HTTPError as error:
        raise CoalmineError(
            f"the launcher at {url} does not answer: {error}",
            fix="start one with: coalmine up, or name another with --launcher",
        ) from None


def _get(url: str, path: str, token: str) -> Any:  # noqa: ANN401 - JSON
    with _told(url):
        answer = httpx.get(f"{url.rstrip('/')}{path}", headers=bearer(token), timeout=TIMEOUT)
    return _content(url, answer)


def _content(url: str, answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    try:
        body = answer.json()
        if answer.is_success:
            return body
        message, fix = str(body["detail"]), str(body.get("fix", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _no_launcher(url, answer.status_code) from None
    kind = InputError if answer.is_client_error else CoalmineError
    raise kind(message, fix=fix)


def _releases(url: str, found: object) -> list[dict[str, Any]]:
    """See that these are releases: anything may answer where a launcher is looked for."""
    if isinstance(found, list) and all(
        isinstance(one, dict) and one.keys() >= RELEASE for one in found
    ):
        return found
    raise _no_launcher(url, HTTPStatus.OK)


def _no_launcher(url: str, status: int) -> CoalmineError:
    # What stands before a launcher that starts again answers for it; that passes.
    kind = InputError if status == HTTPStatus.OK else CoalmineError
    return kind(
        f"{url} answered {int(status)}, and not as a launcher does",
        fix="check that the URL is a launcher's",
    )
