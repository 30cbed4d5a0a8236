"""One HTTP client for all questions to a Prometheus, with limits that hold whatever it answers.

A time limit of httpx is one for each read, so a server that sends a byte now and then is never too
late. Here a request as a whole is cancelled, which only asynchronous code can do at any moment: the
client lives in an event loop of its own, and any thread can ask through it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx
from anyio.from_thread import start_blocking_portal

from coalmine._base.errors import InputError
from coalmine.metrics.access import VARIABLE, Access

__all__ = ["Client", "Response", "TooLargeError"]

MOST_BYTES = 32 * 1024 * 1024
"""The longest body that is read: some hundred series of ten thousand samples."""


class TooLargeError(Exception):
    """The body is longer than any answer that a gate needs."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer.

    Attributes:
        status: HTTP status.
        kind: Its content type.
        location: Where it redirects to; empty where it does not.
        body: As it was decoded.
    """

    status: int
    kind: str
    location: str
    body: bytes


class Client:
    """Asks with GET, follows no redirect and repeats nothing.

    Args:
        access: What to send and whom to trust.
        timeout: Seconds for a whole answer, from the connection to the last byte.
        connections: How many questions are asked at once; others wait, and their time has not
            begun.
        proxies: Whether the environment's proxies are used.
        secure: Whether TLS is spoken.

    Raises:
        InputError: A certificate or key cannot be used.
    """

    def __init__(
        self, access: Access, *, timeout: float, connections: int, proxies: bool, secure: bool
    ) -> None:
        self._timeout = timeout
        self._slots = asyncio.Semaphore(connections)
        self._client = httpx.AsyncClient(
            auth=httpx.BasicAuth(*access.basic) if access.basic else None,
            headers=[(name.encode(), value.encode()) for name, value in access.headers.items()],
            verify=_trust(access) if secure else False,
            timeout=None,  # noqa: S113 - the limit is on the whole
            limits=httpx.Limits(max_connections=connections),
            trust_env=proxies,
        )
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._stack = stack.pop_all()

    def get(self, url: httpx.URL, params: Mapping[str, str]) -> Response:
        """Ask, and wait for the whole answer.

        Raises:
            TimeoutError: It did not come in time.
            TooLargeError: It is too long.
            httpx.HTTPError: It is none.
        """
        return self._portal.call(self._get, url, params)

    def close(self) -> None:
        """Give up the connections."""
        self._stack.close()

    async def _get(self, url: httpx.URL, params: Mapping[str, str]) -> Response:
        # httpx looks at each character of a URL again and again, and these are long.
        target = url.raw_path + b"?" + urlencode(params).encode()
        async with (
            self._slots,
            asyncio.timeout(self._timeout),
            self._client.stream("GET", url, extensions={"target": target}) as response,
        ):
            headers = response.headers
            location = headers.get("location", "") if response.is_redirect else ""
            body = b"" if response.is_redirect else await _read(response)
            kind = headers.get("content-type", "no content type")
            return Response(response.status_code, kind, location, body)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise TooLargeError
    return bytes(body)


def _trust(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca_file or None)
        if access.certificate:
            context.load_cert_chain(*access.certificate)
    except OSError as error:
        raise InputError(
            f"a certificate or key cannot be used: {error}",
            field=f"{VARIABLE}: tls_config",
            fix="give PEM files that belong together",
        ) from None
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
