"""The launcher as one process: HTTP, ledger, dispatcher and the local engine."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic
from coalmine.engines.local import LocalEngine
from coalmine.engines.local.command import HostCommand, own_command
from coalmine.engines.local.engine import GraphReader
from coalmine.launcher.access import Access, OpenAccess
from coalmine.launcher.access_file import load_access
from coalmine.launcher.announce import announced
from coalmine.launcher.answers import Answers
from coalmine.launcher.cancel import Canceller
from coalmine.launcher.commit import GroupCommit
from coalmine.launcher.connection import LimitedProtocol, raise_file_limit
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.http import make_app
from coalmine.launcher.intake import Intake
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.pipelines import find_pipeline, load_checked, pipeline_folders
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.telemetry import Telemetry

__all__ = ["Settings", "serve"]

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 3
"""For requests under way at SIGTERM; with what a step gets for its end, it is less than ten."""
BACKLOG = 1024
TOKEN = "COALMINE_TOKEN"  # noqa: S105 - the variable's name
LAUNCHER_URL = "COALMINE_LAUNCHER_URL"
"""Where the gate asks what a person decided."""
SWITCH_SECONDS = 0.0005
"""How long one thread may keep Python to itself; at the default of 5 ms each commit's thread would
wait that long for a busy event loop, several times a commit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a launcher runs.

    Attributes:
        state: The state folder, absolute.
        read_graph: Reads a pipeline file.
        host: An address of this machine; beyond loopback only with ``access``.
        port: 0 for any free one.
        bindings: The bindings file; None for the default.
        pipelines: The folder of compiled pipelines; None for the package's.
        database: URL of the ledger; empty for a file in the state folder.
        access: The access file; None lets everybody in who reaches it.
        host_command: How a container's command runs here.
        environ: The environment of the tasks; this process's unless told.
    """

    state: Path
    read_graph: GraphReader
    host: str = "127.0.0.1"
    port: int = 0
    bindings: Path | None = None
    pipelines: Path | None = None
    database: str = ""
    access: Path | None = None
    host_command: HostCommand = own_command
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


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

    own_token = secrets.token_urlsafe(32)
    access = _access(settings, own_token)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        bindings = Reloaded(
            lambda: load_checked(settings.bindings, folders, settings.read_graph),
            [settings.bindings] if settings.bindings else [],
            "the bindings",
        )
        stack.enter_context(_own(settings.state))
        ledger = stack.enter_context(contextlib.closing(_ledger(settings)))
        engine = stack.enter_context(_opened_engine(settings, _url(listener), own_token))
        telemetry = Telemetry(ledger.count_by_state, lambda: bool(bindings.problem))
        engines = {engine.name: engine}
        dispatcher = Dispatcher(ledger, engines, find, on_trouble=telemetry.troubled)
        stack.callback(dispatcher.stop)
        dispatcher.start()
        commit = GroupCommit(ledger.accept, dispatcher.wake)
        stack.callback(commit.stop)
        commit.start()
        intake = Intake(bindings, commit.put)
        canceller = Canceller(ledger, dispatcher.wake)
        app = make_app(
            intake,
            canceller,
            ledger,
            telemetry,
            lambda: dispatcher.alive,
            answers=Answers(ledger),
            access=access,
            bindings=bindings,
        )
        stack.enter_context(announced(settings.state, _url(listener)))
        raise_file_limit()
        _on_hangup(bindings.again)
        sys.setswitchinterval(SWITCH_SECONDS)
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
        )
        logger.info("stopping")


def _access(settings: Settings, own_token: str) -> Access:
    if settings.access:
        return load_access(settings.access, settings.environ, own_token)
    if not _is_loopback(settings.host):
        raise InputError(
            f"{settings.host} is beyond loopback, and nothing says who may ask for a release",
            field="--host",
            fix="say it in a file, given with --access (see docs/access.md), or use 127.0.0.1",
        )
    return OpenAccess()


def _ledger(settings: Settings) -> Ledger:
    return Ledger(settings.database or ledger_url(settings.state), owner=_identity(settings.state))


def _identity(state: Path) -> str:
    """Give the id of the launcher with this state folder, the same after every restart."""
    path = state / "launcher.id"
    if not path.is_file():
        write_atomic(path, uuid.uuid4().hex)
    return path.read_text(encoding="ascii")


def _on_hangup(act: Callable[[], None]) -> None:
    with contextlib.suppress(ValueError):  # only the main thread may do this
        signal.signal(signal.SIGHUP, lambda *_: act())


def _run_http(config: uvicorn.Config, listener: socket.socket) -> None:
    # Uvicorn hands a signal on once it has drained: SIGTERM is then an end like any other.
    with contextlib.suppress(ValueError):  # only the main thread may do this
        signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
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


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _own(state: Path) -> Iterator[None]:
    """Hold the state folder for this process alone."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state / "launcher.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"the state folder {state} cannot be used: {error}") from None
    try:
        _lock(descriptor, state)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, state: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CoalmineError(
            f"another launcher runs with its state in {state}",
            fix="stop it, or give this one another folder with --state",
        ) from None


@contextlib.contextmanager
def _opened_engine(settings: Settings, url: str, own_token: str) -> Iterator[LocalEngine]:
    engine = LocalEngine(
        settings.state,
        settings.read_graph,
        host_command=settings.host_command,
        environ={LAUNCHER_URL: url, **settings.environ, TOKEN: own_token},
    )
    engine.open()
    try:
        yield engine
    finally:
        engine.close()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
