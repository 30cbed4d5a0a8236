"""The process from which receivers are forked, and which sees to it that there are enough of them.

It is forked from the main process before that has a thread or a connection, and does nothing but
wait: so a receiver can be forked at any time, shares the memory of everything that was imported,
and begins in milliseconds. Uvicorn's own supervisor of several processes is not used: its workers
go on accepting after their supervisor was killed, one that ends is started again at once, however
often it ends, and it wants to be the main loop of a main process that does nothing else.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import NoReturn

from coalmine.launcher.patience import wait_after

__all__ = ["Work", "fork_nursery"]

logger = logging.getLogger(__name__)

Work = Callable[[bytes, socket.socket, socket.socket], None]
"""What a receiver does: with what it is told at its beginning, and its two sockets."""
LONG_SECONDS = 60.0
"""A receiver that has lived so long begins at once again, should it end."""
END_SECONDS = 6.0
"""For a receiver that was told to end; it takes three at most, if its disk lets it."""
MOST_BYTES = 65536


@dataclass(slots=True)
class _Place:
    """One receiver, or the wait for the next."""

    pid: int = 0
    begun: float = 0.0
    due: float = 0.0
    failures: int = 0


def fork_nursery(count: int, work: Work) -> tuple[int, socket.socket]:
    """Fork the nursery; it makes receivers when it is told what they begin with.

    Args:
        count: The number of receivers.
        work: What each does.

    Returns:
        The nursery's process id, and the socket to it: over it goes what receivers begin with, and
        over it come two sockets to each of them. Its end is the end of all.
    """
    mine, its = socket.socketpair()
    gc.collect()
    gc.freeze()  # or each collection would write to, and so copy, all the memory that is shared
    pid = os.fork()
    if pid == 0:
        mine.close()
        _run(lambda: _Nursery(count, work, its).keep())
    its.close()
    return pid, mine


def _run(act: Callable[[], None]) -> NoReturn:
    """Do something in a process that was just forked, and end it: nothing of its parent's runs."""
    code = 1
    try:
        act()
        code = 0
    except SystemExit as end:  # it has said why
        code = int(end.code or 0)
    except BaseException:  # whatever it is must not go on into the parent's code
        logger.exception("a process of the launcher broke")
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


class _Nursery:
    """The nursery itself.

    Args:
        count: The number of receivers.
        work: What each does.
        home: The socket to the main process.
    """

    def __init__(self, count: int, work: Work, home: socket.socket) -> None:
        self._places = [_Place() for _ in range(count)]
        self._work = work
        self._home = home
        self._begin = b""

    def keep(self) -> None:
        """See to it that there are enough receivers, until the main process is gone."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # One that is sent to all processes of a group ends the main one, and that ends all.
            signal.signal(number, signal.SIG_IGN)
        ended, tell = socket.socketpair()
        tell.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
        self._begin = self._home.recv(MOST_BYTES)
        while self._begin:
            self._reap()
            self._fill()
            ready = wait([self._home, ended], self._next_due())
            if ended in ready:
                ended.recv(4096)
            if self._home in ready:  # nothing but an end can come now
                break
        self._end(ended)

    def _next_due(self) -> float | None:
        due = [place.due for place in self._places if not place.pid]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _fill(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if not place.pid and place.due <= now:
                place.pid, place.begun = self._fork(), now

    def _fork(self) -> int:
        orders, its_orders = socket.socketpair()
        questions, its_questions = socket.socketpair()
        with orders, its_orders, questions, its_questions:
            # Sent first: a receiver may ask as soon as it lives.
            with contextlib.suppress(OSError):
                socket.send_fds(self._home, [b"."], [orders.fileno(), questions.fileno()])
            pid = os.fork()
            if pid == 0:
                orders.close()
                questions.close()
                _run(lambda: self._be_receiver(its_orders, its_questions))
        return pid

    def _be_receiver(self, orders: socket.socket, questions: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._home.close()
        self._work(self._begin, orders, questions)

    def _reap(self) -> None:
        for place in self._places:
            if not place.pid:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, code: int) -> None:
        now = time.monotonic()
        place.failures = 1 if now - place.begun >= LONG_SECONDS else place.failures + 1
        patience = wait_after(place.failures)
        place.due = now + patience
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        logger.error(
            "the receiver %s %s; another begins in %s s",
            place.pid, how, patience, extra={"exit_code": code},
        )  # fmt: skip
        place.pid = 0

    def _end(self, ended: socket.socket) -> None:
        """Wait until all receivers have ended, which see for themselves that they shall."""
        until = time.monotonic() + END_SECONDS
        pids = {place.pid for place in self._places if place.pid}
        while pids and time.monotonic() < until:
            pids = {pid for pid in pids if not os.waitpid(pid, os.WNOHANG)[0]}
            if pids and wait([ended], max(0.0, until - time.monotonic())):
                ended.recv(4096)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
