"""The sockets that a launcher listens on: one for each of its processes that answer HTTP.

The kernel gives each a part of the connections, by a hash of the addresses at both ends
(SO_REUSEPORT of Linux): of a hundred, each of two gets 38 to 62. One socket for all would give most
of those that come at once to whoever wakes first.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from urllib.parse import urlsplit

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["check_public", "is_loopback", "listen", "listen_beside", "url_of"]

BACKLOG = 1024
POLL_SECONDS = 0.02


def listen(host: str, port: int, patience: float = 0.0) -> socket.socket:
    """Listen on an address of this machine; on any free port if it is 0.

    Args:
        host: The address.
        port: The port.
        patience: Seconds to wait for a port that is taken.

    Raises:
        InputError: It cannot be done.
    """
    address = "127.0.0.1" if host == "localhost" else host
    until = time.monotonic() + patience
    while True:
        try:
            return _listen(address, port, shared=False)
        except (OSError, OverflowError) as error:
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            if not taken or time.monotonic() >= until:
                raise InputError(
                    f"cannot listen on {address}, port {port}: {error}",
                    fix="give a free port with --port, or 0 for any",
                ) from None
        time.sleep(POLL_SECONDS)


def listen_beside(host: str, port: int) -> socket.socket:
    """Listen where another process of the same launcher does, and get a part of the connections.

    Raises:
        CoalmineError: It cannot be done.
    """
    try:
        return _listen(host, port, shared=True)
    except OSError as error:
        raise CoalmineError(f"cannot listen on {host}, port {port}: {error}") from None


def _listen(address: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address, port))
        # Said only now by the first: an address in use is an error, whoever would share it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_public(url: str) -> str:
    """See that a URL under which others are to find the launcher is one.

    Raises:
        InputError: It is none.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and not parts.query
    except ValueError:
        good = False
    if not good or parts.fragment or not url.isprintable() or " " in url:
        raise InputError(
            f"{url!r} is no base URL",
            field="--public-url",
            fix="give one such as https://releases.example.com",
        )
    return url


def url_of(listener: socket.socket) -> str:
    """Give the base URL of what listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
