"""Credentials and tokens for one repository's registry.

A registry says at the first request without credentials what it wants: basic, or a bearer token
from a service that it names. Tokens are kept by what they allow.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from coalmine._base.errors import CoalmineError, InputError
from coalmine.registry.challenge import Challenge, parse_challenge
from coalmine.registry.connections import Connections
from coalmine.registry.credentials import Login
from coalmine.registry.faults import fault_of, unreachable
from coalmine.registry.whole import read_whole

__all__ = ["Tokens"]

_OK = 200
_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Known:
    challenge: Challenge
    login: Login


class Tokens:
    """Answers a registry's challenges.

    Args:
        host: The registry.
        find: Finds the credentials; called once, and only if the registry asks.
        connections: Reach token services.
        is_plain: Tells which hosts may be spoken to without TLS.
    """

    def __init__(
        self,
        host: str,
        find: Callable[[], Login],
        connections: Connections,
        is_plain: Callable[[str], bool],
    ) -> None:
        self._host, self._find, self._is_plain = host, find, is_plain
        self._connections = connections
        self._known: _Known | None = None
        self._tokens: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()

    def header(self, scopes: tuple[str, ...]) -> str:
        """Give the ``Authorization`` header for what is wanted; empty before the first challenge.

        Raises:
            CoalmineError: The token service gives none.
        """
        with self._lock:
            if self._known is None:
                return ""
            if self._known.challenge.scheme == "basic":
                credentials = self._known.login.credentials
                return credentials.basic if credentials else ""
            if scopes not in self._tokens:
                self._tokens[scopes] = self._fetch(self._known, scopes)
            return f"Bearer {self._tokens[scopes]}"

    def learn(self, header: str, scopes: tuple[str, ...]) -> None:
        """Take a challenge in; a token that was refused is forgotten.

        Raises:
            InputError: The registry wants something that is not known here.
        """
        challenge = parse_challenge(header)
        if challenge.scheme not in {"basic", "bearer"}:
            raise InputError(
                f"{self._host} wants {challenge.scheme or 'unnamed'!r} authentication, "
                "and only basic and bearer are known"
            )
        with self._lock:
            login = self._known.login if self._known else self._find()
            self._known = _Known(challenge, login)
            self._tokens.pop(scopes, None)

    @property
    def told(self) -> str:
        """Say as whom the registry is asked; empty as long as it has not wanted to know."""
        return self._known.login.told if self._known else ""

    def _fetch(self, known: _Known, scopes: tuple[str, ...]) -> str:
        url = _place(known.challenge.realm, self._host)
        if url.scheme != "https" and not (url.scheme == "http" and self._is_plain(url.netloc)):
            raise InputError(
                f"{self._host} sends for tokens to {known.challenge.realm!r}, which has no TLS"
            )
        what = f"token for {self._host} from {url.netloc}"
        try:
            with closing(
                self._connections.send(self._request(known, scopes), stream=True)
            ) as streamed:
                answer = read_whole(streamed, what, most=_BODY_BYTES)
        except httpx.HTTPError as error:
            raise unreachable(what, error) from None
        if answer.status_code != _OK:
            told = known.login.told
            raise fault_of(what, answer.status_code, "", answer.content, host=self._host, told=told)
        return _token(answer.content, what)

    def _request(self, known: _Known, scopes: tuple[str, ...]) -> httpx.Request:
        realm, service = known.challenge.realm, known.challenge.service
        credentials = known.login.credentials
        if credentials is not None and credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": "coalmine",
                "scope": " ".join(scopes),
                "refresh_token": credentials.identity_token,
            }
            return self._connections.request("POST", httpx.URL(realm), headers={}, data=form)
        query = {"scope": list(scopes)} | ({"service": [service]} if service else {})
        headers = {"Authorization": credentials.basic} if credentials else {}
        url = httpx.URL(realm).copy_merge_params(query)
        return self._connections.request("GET", url, headers=headers)


def _place(realm: str, host: str) -> SplitResult:
    try:
        httpx.URL(realm)
        return urlsplit(realm)
    except (ValueError, httpx.InvalidURL):
        raise InputError(f"{host} sends for tokens to {realm!r}, which is no URL") from None


def _token(content: bytes, what: str) -> str:
    try:
        answer = json.loads(content)
        token = answer.get("token") or answer.get("access_token")
    except (ValueError, RecursionError, AttributeError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise CoalmineError(f"{what}: there is no token in the answer")
    return token
