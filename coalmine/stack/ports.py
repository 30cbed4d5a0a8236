"""TCP ports on loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["HOST", "choose_port", "free_port", "is_free"]

HOST = "127.0.0.1"
RANGE = range(20000, 32000)
"""Below the ports that the kernel gives to outgoing connections: one of those could take a port
between the moment it is chosen and the moment, seconds later, a model server listens on it."""


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(taken: frozenset[int] = frozenset(), *, free: Callable[[int], bool] = is_free) -> int:
    """Find a port on which nobody listens.

    Args:
        taken: Ports that are promised to somebody already.
        free: Tells whether a port is free.

    Raises:
        CoalmineError: There is none.
    """
    for port in _candidates():
        if port not in taken and free(port):
            return port
    raise CoalmineError(
        f"no port between {RANGE.start} and {RANGE.stop - 1} is free",
        fix="stop some of the servers on this machine",
    )


def choose_port(
    option: str,
    requested: int,
    remembered: int,
    taken: frozenset[int],
    *,
    free: Callable[[int], bool] = is_free,
) -> int:
    """Take the requested port, else the one of last time, else any.

    Args:
        option: The command line option that asks for it, for the error.
        requested: 0 for none.
        remembered: 0 for none.
        taken: Ports that are promised to somebody already.
        free: Tells whether a port is free.

    Raises:
        InputError: The requested port is in use.
    """
    if requested:
        if requested in taken or not free(requested):
            raise InputError(
                f"port {requested} is in use",
                field=option,
                fix=f"see who has it with: ss -ltnp 'sport = :{requested}'; give another, "
                f"or 0 to take any",
            )
        return requested
    if remembered and remembered not in taken and free(remembered):
        return remembered
    return free_port(taken, free=free)


def _candidates() -> Iterator[int]:
    start = random.randrange(len(RANGE))  # noqa: S311 - only to keep parallel stacks apart
    yield from (RANGE[(start + step) % len(RANGE)] for step in range(len(RANGE)))
