"""Send an event to a launcher, or ask it to cancel what an event began; read the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

from coalmine._base.bearer import bearer
from coalmine._base.errors import CoalmineError, InputError
from coalmine.events.event import Event, Opaque

__all__ = [
    "Answer",
    "Message",
    "ask_to",
    "deliver",
    "encode_event",
    "post_message",
    "send_event",
]


@dataclass(frozen=True, slots=True)
class Message:
    """The HTTP form of an event: headers and body."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a launcher said to an event that it took, or to what it was asked.

    Attributes:
        status: To an event, 202 for a new release, 200 for one it had already; to a cancellation,
            202 while the release is being ended, 200 once it has.
        id: The release's id.
        url: Where the release can be read.
        state: Where the release is.
    """

    status: int
    id: str
    url: str
    state: str


def encode_event(event: Event, *, binary: bool = False) -> Message:
    """Give an event its HTTP form, structured unless told otherwise."""
    from cloudevents.core.bindings import http  # noqa: PLC0415 - needed only when sending
    from cloudevents.core.v1.event import CloudEvent  # noqa: PLC0415

    implied = {} if isinstance(event.data, Opaque) else {"datacontenttype": "application/json"}
    attributes: dict[str, Any] = {**implied, **event.attributes()}
    if event.time:
        attributes["time"] = event.time
    if not binary:
        message = http.to_structured_event(CloudEvent(attributes, _plain(event.data)))
    else:  # given anything but a mapping, the library would send Python's words for it
        message = http.to_binary_event(CloudEvent(attributes, _body(event.data)))
    return Message(message.headers, message.body)


def _body(data: object) -> bytes | None:
    if isinstance(data, Opaque):
        return data.raw
    return None if data is None else json.dumps(_plain(data)).encode()


def send_event(
    url: str, event: Event, *, binary: bool = False, token: str = "", timeout: float = 10.0
) -> Answer:
    """Send an event and wait until it is stored.

    Args:
        url: The launcher's base URL.
        event: The event. Sent again it is the same release, so a failed call can be repeated.
        binary: Use binary mode instead of structured mode.
        token: Shown to the launcher, if any.
        timeout: Seconds to wait for the launcher.

    Raises:
        InputError: The launcher refuses the event; the message says why.
        CoalmineError: The launcher does not answer, or failed; nothing is known of the event.
    """
    return post_message(url, encode_event(event, binary=binary), token=token, timeout=timeout)


def post_message(url: str, message: Message, *, token: str = "", timeout: float = 10.0) -> Answer:
    """Send an event that is in its HTTP form already; else as `send_event`."""
    return _post(url, message, "the event", token, timeout)


WHAT = {
    "cancel": "the cancellation",
    "approve": "the approval",
    "reject": "the rejection",
    "retry": "the retry",
}


def ask_to(
    verb: str, url: str, release_id: str, *, token: str = "", timeout: float = 10.0
) -> Answer:
    """Ask to ``cancel``, ``retry``, ``approve`` or ``reject`` a release; again it is the same.

    Raises:
        InputError: There is no such release, or it is too late.
        CoalmineError: The launcher does not answer, or failed; ask again.
    """
    target = f"{url.rstrip('/')}/releases/{quote(release_id, safe='')}/{verb}"
    return _post(target, Message({}, b""), WHAT[verb], token, timeout)


def _post(url: str, message: Message, what: str, token: str, timeout: float) -> Answer:
    return _answer(url, _sent(url, message, "the launcher", token, timeout), what)


def deliver(url: str, message: Message, *, token: str = "", timeout: float = 10.0) -> int:
    """Send an event to any sink, such as Tekton's listener; any good status will do.

    Returns:
        The status.

    Raises:
        InputError: The sink refuses the event.
        CoalmineError: The sink does not answer, or failed.
    """
    answer = _sent(url, message, "the sink", token, timeout)
    if not answer.is_success:
        kind = InputError if answer.is_client_error else CoalmineError
        raise kind(f"{url} answered {answer.status_code}: {answer.text[:200]}")
    return answer.status_code


def _sent(url: str, message: Message, who: str, token: str, timeout: float) -> httpx.Response:
    try:
        return httpx.post(
            url, headers={**message.headers, **bearer(token)}, content=message.body, timeout=timeout
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InputError(
            f"{url!r} is no URL of a launcher: {error}", fix="give one like http://127.0.0.1:8080"
        ) from None
    except httpx.HTTPError as error:
        raise CoalmineError(
            f"{who} at {url} does not answer: {error}",
            fix="start one with: coalmine up, or name another with --url or --launcher",
        ) from None


def _answer(url: str, answer: httpx.Response, what: str) -> Answer:
    try:
        body = answer.json()
        if answer.is_success:
            return Answer(answer.status_code, body["id"], body["url"], body["state"])
        message, fix = str(body["detail"]), str(body.get("fix", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CoalmineError(
            f"{url} answered {answer.status_code}, and not as a launcher does",
            fix="check that the URL is a launcher's",
        ) from None
    kind = InputError if answer.is_client_error else CoalmineError
    raise kind(f"the launcher refused {what}: {message}", fix=fix)


def _plain(data: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(data, Opaque):
        return data.raw  # the library writes bytes as data_base64
    if isinstance(data, Decimal):
        return float(data)
    if isinstance(data, Mapping):
        return {str(name): _plain(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return data
