"""The socket that a launcher listens on."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from coalmine._base.errors import InputError

__all__ = ["check_public", "is_loopback", "listen", "url_of"]

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address of this machine; on any free port if it is 0.

    Raises:
        InputError: It cannot be done.
    """
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(
            f"cannot listen on {address}, port {port}: {error}",
            fix="give a free port with --port, or 0 for any",
        ) from None
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
