"""The launcher as one process: HTTP, ledger, dispatcher and the local engine."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from coalmine._base.errors import InputError
from coalmine.engines.local import LocalEngine
from coalmine.engines.local.engine import GraphReader
from coalmine.engines.open import open_engines
from coalmine.engines.protocol import Engine
from coalmine.launcher.access import Access, OpenAccess
from coalmine.launcher.announce import announced
from coalmine.launcher.answers import Answers
from coalmine.launcher.api import ReleasesApi
from coalmine.launcher.cancel import Canceller
from coalmine.launcher.commit import GroupCommit
from coalmine.launcher.connection import LimitedProtocol, raise_file_limit
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.folder import identity, own
from coalmine.launcher.http import make_app
from coalmine.launcher.intake import Intake
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.listen import check_public, is_loopback, listen, url_of
from coalmine.launcher.notes import Notes
from coalmine.launcher.pipelines import (
    find_pipeline,
    judges_of,
    load_checked,
    named_engines,
    pipeline_folders,
)
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.reloaded_access import ReloadedAccess
from coalmine.launcher.retry import Retrier
from coalmine.launcher.settings import Settings
from coalmine.launcher.sinks import Sink, read_sinks
from coalmine.launcher.stream import Logs
from coalmine.launcher.telemetry import Telemetry
from coalmine.launcher.telling import Telling
from coalmine.launcher.traces import tracing

__all__ = ["Settings", "serve"]

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 3
"""For requests under way at SIGTERM; with what a step gets for its end, it is less than ten."""
TOKEN = "COALMINE_TOKEN"  # noqa: S105 - the variable's name
LAUNCHER_URL = "COALMINE_LAUNCHER_URL"
"""Where the gate asks what a person decided."""
SWITCH_SECONDS = 0.0005
"""How long one thread may keep Python to itself; at the default of 5 ms each commit's thread would
wait that long for a busy event loop, several times a commit."""


def serve(settings: Settings) -> None:
    """Run a launcher until SIGTERM or SIGINT; then drain and let go.

    A step that runs is ended, and run again at the next start with the same state folder.

    Raises:
        InputError: A setting is wrong; nothing was begun.
        CoalmineError: The state cannot be used.
    """
    folders = pipeline_folders(settings.pipelines)

    def find(name: str) -> Path:
        return find_pipeline(name, folders)

    names = settings.engine_names or named_engines(settings.bindings)
    sinks = _sinks(settings)
    public_url = check_public(settings.public_url) if settings.public_url else ""
    own_token = secrets.token_urlsafe(32)
    access, settings_files = _access(settings, own_token)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(settings.host, settings.port))
        bindings = Reloaded(
            lambda: load_checked(settings.bindings, folders, settings.read_graph, names),
            [settings.bindings] if settings.bindings else [],
            "the bindings",
        )
        stack.enter_context(own(settings.state))
        reached_at = public_url or url_of(listener)
        telling = Telling(
            sinks,
            reached_at,
            _judges(find, settings.read_graph),
            settings.tell_for,
        )
        ledger = stack.enter_context(
            contextlib.closing(_ledger(settings, telling.notes, reached_at))
        )
        opened = (settings.open_engines or functools.partial(_open_engines, settings, names))(
            url_of(listener), own_token
        )
        engines = stack.enter_context(opened)
        telemetry = Telemetry(
            ledger.count_by_state,
            lambda: bool(bindings.problem),
            access_stale=lambda: any(one.problem for one in settings_files),
            queue_age=ledger.queue_age,
            waiting=ledger.waiting,
        )
        stack.enter_context(telling.sending(ledger.database, telemetry.told))
        dispatcher = Dispatcher(
            ledger,
            engines,
            find,
            submit_for=settings.submit_for,
            on_trouble=telemetry.troubled,
            on_step=telemetry.step_ended,
            on_end=stack.enter_context(tracing(ledger, settings.environ)),
        )
        stack.callback(dispatcher.stop)
        dispatcher.start()
        commit = GroupCommit(ledger.accept, dispatcher.wake)
        stack.callback(commit.stop)
        commit.start()
        intake = Intake(bindings, commit.put)
        canceller = Canceller(ledger, dispatcher.wake)
        logs = Logs(ledger, engines)
        app = make_app(
            intake,
            ReleasesApi(ledger, canceller, Answers(ledger), Retrier(ledger), logs),
            ledger,
            telemetry,
            lambda: dispatcher.alive,
            access=access,
            settings=[bindings, *settings_files],
            public_url=public_url,
        )
        stack.enter_context(announced(settings.state, url_of(listener)))
        raise_file_limit()
        _on_hangup([bindings.again, *(one.again for one in settings_files)])
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()  # what is there now stays; to look through it again takes tens of milliseconds
        _run_http(
            uvicorn.Config(
                app,
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                lifespan="off",
                http=LimitedProtocol,
                ws="none",
                loop="uvloop",
                timeout_graceful_shutdown=DRAIN_SECONDS,
            ),
            listener,
            logs.stop,
        )
        logger.info("stopping")


def _access(settings: Settings, own_token: str) -> tuple[Access, list[Reloaded[Any]]]:
    """Give who may do what, and the file that says it."""
    if path := settings.access:
        from coalmine.launcher.access_file import load_access  # noqa: PLC0415 - takes a while

        guarded = Reloaded(
            lambda: load_access(path, settings.environ, own_token), [path], "the access rules"
        )
        return ReloadedAccess(guarded), [guarded]
    if not is_loopback(settings.host):
        raise InputError(
            f"{settings.host} is beyond loopback, and nothing says who may ask for a release",
            field="--host",
            fix="say it in a file, given with --access (see docs/access.md), or use 127.0.0.1",
        )
    return OpenAccess(), []


def _sinks(settings: Settings) -> tuple[Sink, ...]:
    sinks = read_sinks(settings.sinks, settings.environ)
    if settings.sinks_file:
        from coalmine.launcher.sinks_file import load_sinks  # noqa: PLC0415 - takes a while

        sinks += load_sinks(settings.sinks_file, settings.environ)
    return sinks


def _judges(
    find: Callable[[str], Path], read_graph: GraphReader
) -> Callable[[str], frozenset[str]]:
    @functools.lru_cache(maxsize=64)
    def judges(name: str) -> frozenset[str]:
        try:
            return judges_of(find(name), read_graph)
        except InputError:  # it is gone; the dispatcher tells of that
            return frozenset()

    return judges


def _ledger(settings: Settings, notes: Notes, reached_at: str) -> Ledger:
    return Ledger(
        settings.database or ledger_url(settings.state),
        owner=identity(settings.state),
        lease=settings.lease,
        notes=notes,
        reached_at=reached_at,
    )


def _on_hangup(acts: Sequence[Callable[[], None]]) -> None:
    with contextlib.suppress(ValueError):  # only the main thread may do this
        signal.signal(signal.SIGHUP, lambda *_: [act() for act in acts])


class _Server(uvicorn.Server):
    """Tells when it is asked to end, which uvicorn's own tells nobody until it has drained."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_exit()
        super().handle_exit(sig, frame)


def _run_http(config: uvicorn.Config, listener: socket.socket, on_exit: Callable[[], None]) -> None:
    # Uvicorn hands a signal on once it has drained: SIGTERM is then an end like any other.
    with contextlib.suppress(ValueError):  # only the main thread may do this
        signal.signal(signal.SIGTERM, lambda *_: None)
    _Server(config, on_exit).run(sockets=[listener])


def _open_engines(
    settings: Settings, names: tuple[str, ...], url: str, own_token: str
) -> AbstractContextManager[Mapping[str, Engine]]:
    local = LocalEngine(
        settings.state,
        settings.read_graph,
        host_command=settings.host_command,
        environ={LAUNCHER_URL: url, **settings.environ, TOKEN: own_token},
    )
    return open_engines(names, settings.engines, settings.read_graph, local)
