"""What answers HTTP in a process of the launcher: the main one, or a receiver beside it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from coalmine.launcher.answers import Answers
from coalmine.launcher.api import ReleasesApi
from coalmine.launcher.cancel import Canceller
from coalmine.launcher.commit import GroupCommit
from coalmine.launcher.connection import protocol_for, raise_file_limit
from coalmine.launcher.http import make_app
from coalmine.launcher.intake import Intake
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.plan import Plan
from coalmine.launcher.retry import Retrier
from coalmine.launcher.stream import Logs
from coalmine.launcher.telemetry import Telemetry
from coalmine.launcher.wire import Home

__all__ = ["Face", "make_telemetry"]

DRAIN_SECONDS = 3
"""For requests under way at SIGTERM; with what a step gets for its end, it is less than ten."""
SWITCH_SECONDS = 0.0005
"""How long one thread may keep Python to itself; at the default of 5 ms each commit's thread would
wait that long for a busy event loop, several times a commit."""


def make_telemetry(plan: Plan, ledger: Ledger) -> Telemetry:
    """Make what a process counts with."""
    return Telemetry(
        ledger.count_by_state,
        lambda: bool(plan.bindings.problem),
        access_stale=lambda: any(one.problem for one in plan.access_files),
        queue_age=ledger.queue_age,
        waiting=ledger.waiting,
        together=plan.counts,
    )


class Face:
    """The routes, and the server for them.

    Args:
        plan: How the launcher runs.
        ledger: Where releases stand.
        telemetry: What this process counts with.
        home: What runs releases.
        on_exit: Called when this process is asked to end, before it has drained.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        telemetry: Telemetry,
        home: Home,
        on_exit: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._commit = GroupCommit(ledger.accept, home.wake, ledger.database.turn)
        self._logs = Logs(ledger, home.engines)
        self._on_exit = on_exit
        app = make_app(
            Intake(plan.bindings, self._commit.put),
            ReleasesApi(
                ledger, Canceller(ledger, home.wake), Answers(ledger), Retrier(ledger), self._logs
            ),
            ledger,
            telemetry,
            home.ready,
            access=plan.access,
            settings=[plan.bindings, *plan.access_files],
            public_url=plan.settings.public_url,
        )
        config = uvicorn.Config(
            _behind_proxies(app),
            proxy_headers=False,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            lifespan="off",
            http=protocol_for(plan.settings.receivers),
            ws="none",
            loop="uvloop",
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        self._server = _Server(config, self._end)

    def answer(self, listener: socket.socket, hangup: Callable[[], None]) -> None:
        """Answer until SIGTERM, SIGINT or `end`.

        Args:
            listener: Where requests come in.
            hangup: What SIGHUP does.
        """
        raise_file_limit()
        with contextlib.suppress(ValueError):  # only the main thread may do this
            signal.signal(signal.SIGHUP, lambda *_: hangup())
            # Uvicorn hands a signal on once it has drained: SIGTERM is then an end like any other.
            signal.signal(signal.SIGTERM, lambda *_: None)
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()  # what is there now stays; to look through it again takes tens of milliseconds
        self._commit.start()
        try:
            self._server.run(sockets=[listener])
        finally:
            self._commit.stop()

    def end(self) -> None:
        """End as at SIGTERM; from any thread."""
        self._server.end()

    def _end(self) -> None:
        self._logs.stop()
        self._on_exit()


def _behind_proxies(app: ASGIApp) -> ASGIApp:
    """Believe a proxy that is trusted, as uvicorn does, and leave the others' requests alone.

    Uvicorn parses the address of every sender for that, which takes a twentieth of an event's time.
    """
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    forwarded = cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", app), trusted))

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        told = any(name.startswith(b"x-forwarded-") for name, _ in scope["headers"])
        await (forwarded if told else app)(scope, receive, send)

    return behind


class _Server(uvicorn.Server):
    """Tells when it is asked to end, which uvicorn's own tells nobody until it has drained."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_exit()
        super().handle_exit(sig, frame)

    def end(self) -> None:
        self._on_exit()
        self.should_exit = True
        with contextlib.suppress(RuntimeError):  # it has ended meanwhile
            if self._loop:
                self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        # At once: uvicorn itself looks ten times a second whether it shall end.
        for server in self.servers:
            server.close()
