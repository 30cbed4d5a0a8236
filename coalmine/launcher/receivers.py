"""The other processes that answer HTTP, as the main process has them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import threading
from dataclasses import asdict

from coalmine.launcher.nursery import Work, fork_nursery
from coalmine.launcher.wire import AGAIN, Begin, Home, serve_wire

__all__ = ["Receivers"]

logger = logging.getLogger(__name__)

END_SECONDS = 8.0
"""For the nursery; it kills what has not ended after six."""


class Receivers:
    """Makes them ready where it stands, and lets them begin, go on, read again, and end.

    It has to be made before there is a thread in this process: it forks.

    Args:
        count: Their number, the main process apart; with 0 nothing is forked, and nothing done.
        work: What each does.
    """

    def __init__(self, count: int, work: Work) -> None:
        self._nursery: socket.socket | None = None
        if count:
            self._pid, self._nursery = fork_nursery(count, work)
        self._orders: set[socket.socket] = set()
        self._lock = threading.Condition()
        self._draining = False

    def close(self) -> None:
        """Wait until all have ended."""
        self.drain()
        nursery, self._nursery = self._nursery, None
        if nursery is None:
            return
        with nursery:
            nursery.settimeout(END_SECONDS)
            try:
                while nursery.recv(16):  # receivers that it had just made
                    pass
            except OSError:
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        with self._lock:  # it may have been killed before, and those that it made go on
            self._lock.wait_for(lambda: not self._orders, END_SECONDS)

    def begin(self, begin: Begin, home: Home) -> None:
        """Let them begin.

        Args:
            begin: What they are told.
            home: What they may ask.
        """
        if self._nursery is None:
            return
        self._nursery.send(json.dumps(asdict(begin)).encode())
        threading.Thread(
            target=self._adopt, args=(self._nursery, home), name="receivers", daemon=True
        ).start()

    def again(self) -> None:
        """Have them read their files again."""
        for orders in self._all():
            with contextlib.suppress(OSError):
                orders.send(AGAIN)

    def drain(self) -> None:
        """Have them accept nothing more, answer what they have, and end."""
        self._draining = True
        if self._nursery is None:
            return
        for one in (self._nursery, *self._all()):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_WR)

    def _all(self) -> tuple[socket.socket, ...]:
        with self._lock:
            return tuple(self._orders)

    def _adopt(self, nursery: socket.socket, home: Home) -> None:
        with contextlib.suppress(OSError):
            while True:
                said, found, _, _ = socket.recv_fds(nursery, 1, 2)
                if not said:
                    break
                orders, questions = (socket.socket(fileno=one) for one in found)
                self._take(orders, questions, home)
        if not self._draining:
            logger.error("what makes receivers has ended; those that end have no successor")

    def _take(self, orders: socket.socket, questions: socket.socket, home: Home) -> None:
        def gone() -> None:
            with self._lock:
                self._orders.discard(orders)
                self._lock.notify_all()
            orders.close()

        with self._lock:
            self._orders.add(orders)
        serve_wire(home, orders, questions, gone)
        if self._draining:  # it was made while all were told to end
            self.drain()
