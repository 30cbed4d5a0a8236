"""Connections to a registry and to where it sends us, opened when they are needed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping

import httpx

from coalmine._base.errors import InputError
from coalmine.registry.address import is_loopback
from coalmine.registry.options import RegistryOptions

__all__ = ["Connections"]

_SILENCE_SECONDS = 60.0
_STORED_BYTES = 16 << 20  # a second; some registries copy a blob before they answer
_TIMEOUT = httpx.Timeout(_SILENCE_SECONDS, connect=10.0)
_HEADERS = {"User-Agent": "coalmine", "Accept-Encoding": "identity"}


class Connections:
    """Sends requests; reading the trusted certificates waits for the first one with TLS.

    Args:
        options: How registries are reached.
    """

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}
        self._lock = threading.Lock()

    def send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """Send a request.

        Raises:
            httpx.HTTPError: There is no answer.
            InputError: The file of trusted certificates cannot be read.
        """
        with self._lock:
            client = self._client(request.url)
        return client.send(request, stream=stream)

    @staticmethod
    def request(
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None = None,
        data: Mapping[str, str] | None = None,
        stores: int = 0,
    ) -> httpx.Request:
        """Make a request; the answer may take longer the more bytes are stored before it."""
        seconds = {**_TIMEOUT.as_dict(), "read": _SILENCE_SECONDS + stores / _STORED_BYTES}
        return httpx.Request(
            method,
            url,
            headers={**_HEADERS, **headers},
            content=content,
            data=data,
            extensions={"timeout": seconds},
        )

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()

    def _client(self, url: httpx.URL) -> httpx.Client:
        # A proxy that the environment names is not asked for what is on this machine.
        kind = url.scheme == "https", not is_loopback(url.host)
        if kind not in self._clients:
            tls, proxied = kind
            verify = _trust(self._options) if tls else False
            self._clients[kind] = httpx.Client(verify=verify, timeout=_TIMEOUT, trust_env=proxied)
        return self._clients[kind]


def _trust(options: RegistryOptions) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if options.ca_file is not None:
        try:
            context.load_verify_locations(cafile=options.ca_file)
        except OSError as error:  # of ssl, too
            why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise InputError(
                f"{options.ca_file} gives no certificates: {why}",
                field="COALMINE_REGISTRY_CA",
                fix="name a PEM file",
            ) from None
    return context
