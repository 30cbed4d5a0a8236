"""Model servers: one a revision, each with its own port, folder and home."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.stack.entries import Entries
from coalmine.stack.layout import Layout
from coalmine.stack.loopback import OK, get
from coalmine.stack.ports import HOST, is_free
from coalmine.stack.programs import Program
from coalmine.stack.supervisor import ProgramState, Supervisor
from coalmine.stack.sweep import lives
from coalmine.stack.waiting import wait_for

__all__ = ["NotServingError", "ServerCommand", "Servers", "answers", "bentoml_command"]

ServerCommand = Callable[[Path, int], tuple[str, ...]]
"""Gives the command that serves the bento in a folder on a port of loopback."""

PREFIX = "server-"
READY_SECONDS = 120.0
GIVEN_UP = "Application startup failed"
"""What uvicorn says when the service cannot be made; BentoML then tries again for ever."""


def bentoml_command(bento: Path, port: int) -> tuple[str, ...]:
    """Serve with the BentoML of this installation."""
    serve = (sys.executable, "-m", "bentoml", "serve", str(bento))
    return (*serve, "--host", HOST, "--port", str(port))


class NotServingError(CoalmineError):
    """A server that shall run did not come to answer in its time."""


class Servers:
    """The model servers of one state folder.

    Args:
        layout: The state folder.
        command: How a bento is served.
        ready_seconds: How long a server may take until it answers.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        command: ServerCommand = bentoml_command,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._layout = layout
        self._entries = Entries(layout.revisions)
        self._command = command
        self._ready_seconds = ready_seconds
        self._supervisor = Supervisor(layout)

    def folder(self, revision: str) -> Path:
        """Where a revision's unpacked image and its server's home are."""
        return self._layout.revisions / revision

    def start(self, revision: str, bento: Path) -> int:
        """Have a server running for a revision on trial: once it ends, it stays ended.

        Returns:
            Its port. One that runs already keeps its port.

        Raises:
            CoalmineError: The supervisor does not answer.
        """
        state = self.state(revision)
        if state is None or not state.alive:
            self._entries.write(revision, bento, self._entries.new_port(revision))
            (self._layout.logs / f"{PREFIX}{revision}.log").unlink(missing_ok=True)
        port, _ = self._entries.read(revision)
        self._supervisor.supervise(self._program(revision, keep=False))
        return port

    def wait_ready(self, revision: str) -> None:
        """Wait until a server answers that it is ready.

        Raises:
            CoalmineError: It ended, or time ran out; the message has the end of its log.
        """
        url = self.url(revision)
        ended: list[str] = []

        def look() -> bool:
            ended.extend(self._ended(revision))
            return bool(ended) or answers(url)

        seen = wait_for(look, seconds=self._ready_seconds, every=0.1)
        if not seen or ended:
            late = f"is not ready after {self._ready_seconds:g} s"
            raise CoalmineError(self._failure(revision, ended[0] if ended else late))

    def wait_routed(self, routed: Callable[[], Iterable[str]]) -> None:
        """Wait until every server that gets traffic serves, but for a canary that has ended.

        Args:
            routed: Names the revisions that get traffic; asked again and again.

        Raises:
            CoalmineError: Time ran out; the message names them, with the end of a log.
        """
        late: list[str] = []

        def look() -> bool:
            late[:] = [revision for revision in routed() if self._awaited(revision)]
            return not late

        if wait_for(look, seconds=self._ready_seconds, every=0.1):
            return
        others = f" (nor {', '.join(late[1:])})" if late[1:] else ""
        what = f"{self.fault(late[0]) or 'was late'} after {self._ready_seconds:g} s{others}"
        raise CoalmineError(
            self._failure(late[0], what),
            fix="the rest of the stack is up: see `coalmine status`, or release another version",
        )

    def keep(self, revision: str) -> None:
        """Have a server running, and started again whenever it ends; a living one is not touched.

        Raises:
            CoalmineError: The supervisor does not answer.
        """
        program = self._program(revision, keep=True)
        self._supervisor.keep(program)
        self._supervisor.supervise(program)

    def wait_serving(self, revision: str) -> None:
        """Wait until a kept server runs and answers, however often it is started again until then.

        Raises:
            NotServingError: Time ran out; the message has the end of its log.
        """
        if not wait_for(lambda: not self.fault(revision), seconds=self._ready_seconds, every=0.1):
            what = f"{self.fault(revision) or 'was late'} after {self._ready_seconds:g} s"
            raise NotServingError(self._failure(revision, what))

    def remove(self, revision: str) -> None:
        """Stop a server and remove its folder; does nothing if there is none."""
        self._supervisor.dismiss(PREFIX + revision)
        shutil.rmtree(self.folder(revision), ignore_errors=True)

    def state(self, revision: str) -> ProgramState | None:
        """Tell how a server is; None if there is none."""
        return self._supervisor.states().get(PREFIX + revision)

    def fault(self, revision: str) -> str:
        """Tell why a server does not serve; empty if it does.

        An answer alone does not count: it may come from what a dead process left behind.
        """
        if not self.runs(revision):
            return "does not run"
        return "" if answers(self.url(revision)) else "does not answer"

    def runs(self, revision: str) -> bool:
        """Tell whether a server's process lives, whatever it answers."""
        state = self.state(revision)
        return state is not None and state.state == "RUNNING" and lives(state.pid)

    def port(self, revision: str) -> int:
        """Where on loopback a server listens.

        Raises:
            CoalmineError: There is none for this revision.
        """
        return self._entries.read(revision)[0]

    def url(self, revision: str) -> str:
        """Where a server listens, as a URL; see `port`."""
        return f"http://{HOST}:{self.port(revision)}"

    def replace_taken_ports(self) -> dict[str, int]:
        """Give a new port to every server whose port somebody else took while the stack was down.

        Returns:
            The port of every server by its revision.
        """
        ports = {}
        for program in self._supervisor.declared():
            revision = program.removeprefix(PREFIX)
            if program == revision or revision not in self._entries:
                continue
            ports[revision], bento = self._entries.read(revision)
            if not is_free(ports[revision]):
                ports[revision] = self._entries.new_port(revision)
                self._entries.write(revision, bento, ports[revision])
                self._supervisor.declare(self._program(revision, keep=self._kept(program)))
        return ports

    def _awaited(self, revision: str) -> bool:
        if revision not in self._entries:
            return False
        state = self.state(revision)
        comes = self._kept(PREFIX + revision) or (state is not None and state.alive)
        return comes and bool(self.fault(revision))

    def is_kept(self, revision: str) -> bool:
        """Tell whether a server is started again when it ends."""
        return self._kept(PREFIX + revision)

    def _kept(self, program: str) -> bool:
        ini = self._layout.supervisor / "conf.d" / f"{program}.ini"
        return ini.exists() and "autorestart=true" in ini.read_text().splitlines()

    def _program(self, revision: str, *, keep: bool) -> Program:
        port, bento = self._entries.read(revision)
        home = self.folder(revision) / "home"
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            # Two servers with one home would write into each other's metrics.
            "BENTOML_HOME": str(home),
            "BENTOML_DO_NOT_TRACK": "true",
        }
        argv = self._command(bento, port)
        return Program(PREFIX + revision, argv, environment, keep=keep, priority=200)

    def _ended(self, revision: str) -> list[str]:
        state = self.state(revision)
        if state is None or not state.alive:
            return [f"ended before it was ready ({state.detail if state else 'it is gone'})"]
        if GIVEN_UP in self._supervisor.log_tail(PREFIX + revision, lines=100):
            return ["cannot start its service"]
        return []

    def _failure(self, revision: str, what: str) -> str:
        tail = self._supervisor.log_tail(PREFIX + revision) or "(its log is empty)"
        return f"the server of {revision} {what}; the end of its log:\n{tail}"


def answers(url: str) -> bool:
    """Tell whether a model server says that it is ready.

    Args:
        url: Its base URL.
    """
    try:
        return get(url + "/readyz", seconds=2)[0] == OK
    except OSError:
        return False
