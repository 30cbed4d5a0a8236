"""Requests to one registry: credentials, redirects, retries, and errors that say what was asked.

Credentials go to the registry's own origin alone. A redirect, or an upload's location, on another
host is followed without them: registries hand out signed URLs of their storage.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from coalmine._base.errors import CoalmineError, InputError
from coalmine.registry.address import Repository
from coalmine.registry.connections import Connections
from coalmine.registry.credentials import find_login
from coalmine.registry.faults import RegistryError, fault_of, unreachable
from coalmine.registry.options import RegistryOptions
from coalmine.registry.pacing import wait_before_retry
from coalmine.registry.tokens import Tokens
from coalmine.registry.whole import beginning_of, read_whole

__all__ = ["Ask", "Session"]

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_UNAUTHORIZED = 401
_ANSWER_BYTES = 16 << 20  # manifests are at most 4 MiB, by the specification's advice
_FAULT_BYTES = 64 << 10

Body = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        method: Of HTTP.
        url: A path that begins with /, or a whole URL that the registry has given.
        ok: The statuses that are an answer; every other one is a fault.
        scopes: What a token must allow, in the registry's words.
        headers: More headers; with a body, ``Content-Length`` is among them.
        body: Gives the body, anew at each call.
        once: Whether a failure is left to the caller.
        stores: How many bytes the registry stores before it answers.
    """

    method: str
    url: str
    ok: frozenset[int]
    scopes: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    once: bool = False
    stores: int = 0


class Session:
    """Speaks to one registry; may be used by several threads.

    Args:
        repository: What is to be reached; its credentials are looked for.
        options: How.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        repository: Repository,
        options: RegistryOptions,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        host, self._host = repository.api_host, repository.host
        self._options, self.sleep = options, sleep
        scheme = "http" if options.is_plain(host) else "https"
        self._base = httpx.URL(f"{scheme}://{host}")
        self._connections = Connections(options)
        self._tokens = Tokens(
            repository.host,
            lambda: find_login(repository, options.credential_files, options.environ),
            self._connections,
            options.is_plain,
        )

    @property
    def chunk_bytes(self) -> int:
        """Largest part of a blob in one request; 0 means the whole blob."""
        return self._options.chunk_bytes

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def send(self, ask: Ask) -> httpx.Response:
        """Ask, and read the answer whole.

        Raises:
            InputError: The answer says that asking again cannot help.
            CoalmineError: There was no right answer at any try.
        """
        return self._until_answered(ask, self._whole)

    @contextmanager
    def stream(self, ask: Ask) -> Iterator[httpx.Response]:
        """Ask, and give the answer with its body still to be read.

        Raises:
            InputError: The answer says that asking again cannot help.
            CoalmineError: There was no right answer at any try.
        """
        with closing(self._until_answered(ask, self._ask)) as answer:
            yield answer

    def _until_answered(self, ask: Ask, take: Callable[[Ask], httpx.Response]) -> httpx.Response:
        tried = 0
        while True:
            tried += 1
            try:
                return take(ask)
            except RegistryError as fault:
                wait = wait_before_retry(fault.status, fault.retry_after, tried)
                if ask.once or wait is None:
                    raise
            self.sleep(wait)

    def _whole(self, ask: Ask) -> httpx.Response:
        what = self._told(ask)
        with closing(self._ask(ask)) as answer:
            try:
                return read_whole(answer, what, most=_ANSWER_BYTES)
            except httpx.HTTPError as error:
                raise unreachable(what, error) from None

    def _ask(self, ask: Ask) -> httpx.Response:
        what = self._told(ask)
        try:
            answer = self._authorized(ask, self._base.join(ask.url))
            if answer.status_code in ask.ok:
                return answer
            with closing(answer):
                body = beginning_of(answer, _FAULT_BYTES)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise unreachable(what, error) from None
        raise fault_of(
            what,
            answer.status_code,
            answer.headers.get("Retry-After", ""),
            body,
            host=self._host,
            told=self._tokens.told,
        )

    def _told(self, ask: Ask) -> str:
        """Say what is asked, without the query: locations of uploads are signed there."""
        return f"{ask.method} {self._base.netloc.decode()}{urlsplit(ask.url).path}"

    def _authorized(self, ask: Ask, url: httpx.URL) -> httpx.Response:
        answer = self._redirected(ask, url)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status_code != _UNAUTHORIZED or not challenge:
            return answer
        answer.close()
        self._tokens.learn(challenge, ask.scopes)
        return self._redirected(ask, url)

    def _redirected(self, ask: Ask, url: httpx.URL) -> httpx.Response:
        for _ in range(_MOST_REDIRECTS):
            answer = self._connections.send(self._request(ask, url), stream=True)
            location = answer.headers.get("Location", "")
            # An upload's 201 and 202 have a location too, and ask for no redirect.
            if answer.status_code not in _REDIRECTS or not location:
                return answer
            answer.close()
            url = url.join(location)
        raise CoalmineError(f"{ask.method} {url.host}: redirected too often")

    def _request(self, ask: Ask, url: httpx.URL) -> httpx.Request:
        own = (url.scheme, url.netloc) == (self._base.scheme, self._base.netloc)
        if url.scheme != "https" and not (own or self._options.is_plain(url.netloc.decode())):
            raise InputError(
                f"the registry sends to {url.host} without TLS, which is not done",
                fix="where a proxy before it speaks TLS, let that say X-Forwarded-Proto: https",
            )
        headers = dict(ask.headers)
        authorization = self._tokens.header(ask.scopes) if own else ""
        if authorization:
            headers["Authorization"] = authorization
        content = ask.body() if ask.body is not None else None
        return self._connections.request(
            ask.method, url, headers=headers, content=content, stores=ask.stores
        )
