"""The stack of one state folder: start it, stop it, look at it."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

from filelock import FileLock

from coalmine._base.errors import CoalmineError
from coalmine.stack.daemon import start_supervisor, stop_supervisor
from coalmine.stack.health import wait_healthy
from coalmine.stack.layout import Endpoints, Layout
from coalmine.stack.parts import (
    CORE,
    LAUNCHER,
    LauncherSettings,
    Ports,
    choose_ports,
    configure,
    endpoints_of,
    refuse_other_ports,
)
from coalmine.stack.programs import Program
from coalmine.stack.prometheus_binary import default_cache, ensure
from coalmine.stack.proxy import Proxy
from coalmine.stack.servers import READY_SECONDS, Servers
from coalmine.stack.supervisor import ProgramState, Supervisor
from coalmine.stack.sweep import sweep

__all__ = ["LauncherSettings", "Ports", "Stack"]

logger = logging.getLogger(__name__)


class Stack:
    """The embedded parts of one state folder.

    Args:
        state: The state folder.
        ready_seconds: How long the model servers of an earlier time may take until they answer.

    Attributes:
        restarted: The core parts that the last start had to restart, for they had changed.
    """

    def __init__(self, state: Path, *, ready_seconds: float = READY_SECONDS) -> None:
        self.layout = Layout(state.absolute())
        self.supervisor = Supervisor(self.layout)
        self.restarted: tuple[str, ...] = ()
        self._ready_seconds = ready_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        *,
        ports: Ports | None = None,
        launcher: LauncherSettings | None = None,
        prometheus: Path | None = None,
        bound: bool = False,
    ) -> Endpoints:
        """Have the stack running as asked; what runs so already is not touched.

        The model servers and routes of an earlier time come back with it, and answer before the
        launcher goes on with releases.

        Args:
            ports: Where to listen.
            launcher: Start the launcher, too, with these settings; they are remembered.
            prometheus: The binary; found or downloaded when None.
            bound: Stop everything when the calling thread ends; only if the stack starts now.

        Returns:
            Where everything listens.

        Raises:
            InputError: A port is in use.
            CoalmineError: A part did not start, then a stack that was down before is down again; or
                a model server that gets traffic does not answer, then everything else is up.
        """
        binary = prometheus or ensure(default_cache())
        self.restarted = ()
        self.layout.supervisor.mkdir(parents=True, exist_ok=True)
        with FileLock(self.layout.supervisor / "start.lock"):
            if self.supervisor.running():
                return self._update(ports or Ports(), binary, launcher)
            return self._start(ports or Ports(), binary, launcher, bound=bound)

    def stop(self) -> None:
        """Stop everything, with whatever an earlier crash left behind; its state stays."""
        self.layout.supervisor.mkdir(parents=True, exist_ok=True)
        with FileLock(self.layout.supervisor / "start.lock"):
            self._stop()

    def endpoints(self) -> Endpoints:
        """Tell where everything listens.

        Raises:
            CoalmineError: It was not started.
        """
        return self.layout.read_endpoints()

    def programs(self) -> list[ProgramState]:
        """Tell how every process is, by name.

        Raises:
            CoalmineError: The supervisor does not answer.
        """
        return sorted(self.supervisor.states().values(), key=lambda state: state.name)

    def _start(
        self, asked: Ports, binary: Path, launcher: LauncherSettings | None, *, bound: bool
    ) -> Endpoints:
        if swept := sweep(self.layout.state):
            logger.warning("ended what an earlier crash left running", extra={"count": swept})
        ports = choose_ports(asked, Ports.read(self.layout))
        ports.write(self.layout)
        for name in CORE:
            self.supervisor.withdraw(name)
        programs = configure(self.layout, ports, binary, launcher)
        for program in programs:
            if program.name != LAUNCHER:
                self.supervisor.declare(program)
        Proxy(self.layout).prepare(Servers(self.layout).replace_taken_ports())
        self.layout.write_endpoints(endpoints_of(ports))
        try:
            self._process = start_supervisor(self.layout, bound=bound)
            late = self._bring_up(programs, endpoints_of(ports))
        except BaseException:
            self._stop()
            raise
        self._started(launcher, late)
        return endpoints_of(ports)

    def _update(self, asked: Ports, binary: Path, launcher: LauncherSettings | None) -> Endpoints:
        ports = Ports.read(self.layout)
        refuse_other_ports(asked, ports)
        programs = configure(self.layout, ports, binary, launcher)
        self._started(launcher, self._bring_up(programs, endpoints_of(ports)))
        return endpoints_of(ports)

    def _started(self, launcher: LauncherSettings | None, late: CoalmineError | None) -> None:
        if launcher:
            launcher.write(self.layout)
        if late:
            raise late

    def _supervise(self, program: Program) -> None:
        if self.supervisor.supervise(program):
            self.restarted += (program.name,)

    def _bring_up(self, programs: list[Program], endpoints: Endpoints) -> CoalmineError | None:
        for program in programs:
            if program.name != LAUNCHER:
                self._supervise(program)
        wait_healthy(self.supervisor, endpoints)
        # A release that goes on would be judged by a canary that is only about to start. One that
        # never starts must not keep the launcher away: a release may be what mends it.
        late = None
        try:
            Servers(self.layout, ready_seconds=self._ready_seconds).wait_routed(
                Proxy(self.layout).revisions
            )
        except CoalmineError as error:
            late = error
        for program in programs:
            self._supervise(program)
        wait_healthy(self.supervisor, endpoints)
        return late

    def _stop(self) -> None:
        stop_supervisor(self.layout, self._process)
        self._process = None
        self.layout.endpoints_file.unlink(missing_ok=True)
