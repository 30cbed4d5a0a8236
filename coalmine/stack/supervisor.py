"""Talk to the supervisor of one state folder.

The files are what shall run: a program is supervised once its two files stand, and a supervisor
that starts again starts the same programs. The calls only bring a living one up to date.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy

from filelock import FileLock

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.stack.layout import Layout
from coalmine.stack.programs import Program, ini_of, spec_of
from coalmine.stack.sweep import sweep
from coalmine.stack.waiting import wait_for

__all__ = ["ProgramState", "Supervisor"]

ALIVE = frozenset({"STARTING", "RUNNING", "BACKOFF"})
DOWN = frozenset({"STOPPED", "EXITED", "FATAL"})
STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ProgramState:
    """How one program is.

    Attributes:
        name: Its name.
        state: The supervisor's word: STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, STOPPED.
        pid: Its process id; 0 when it does not run.
        since: When it started, seconds since 1970.
        detail: What the supervisor says of it, for people.
    """

    name: str
    state: str
    pid: int
    since: int
    detail: str

    @property
    def alive(self) -> bool:
        """Whether it runs or is about to."""
        return self.state in ALIVE


class Supervisor:
    """The supervisor of one state folder, dead or alive."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @property
    def socket(self) -> str:
        """Path of its socket; empty if it was never started."""
        with contextlib.suppress(FileNotFoundError):
            return (self.layout.supervisor / "socket").read_text().strip()
        return ""

    def running(self) -> bool:
        """Tell whether it answers."""
        try:
            self._call("supervisor.getState")
        except CoalmineError:
            return False
        return True

    def shutdown(self) -> int:
        """Have it stop all programs and itself; gives its process id, before that is done."""
        pid: int = self._call("supervisor.getPID")
        self._call("supervisor.shutdown")
        return pid

    def states(self) -> dict[str, ProgramState]:
        """Give every program's state by its name."""
        infos = self._call("supervisor.getAllProcessInfo")
        return {info["name"]: _state_of(info) for info in infos}

    def declare(self, program: Program) -> bool:
        """Write a program's files; True if they were not so before."""
        files = {
            self._spec(program.name): spec_of(program),
            self._ini(program.name): ini_of(program),
        }
        changed = [path for path, text in files.items() if _text(path) != text]
        for path in changed:
            write_atomic(path, files[path], mode=0o600)
        return bool(changed)

    def withdraw(self, name: str) -> None:
        """Remove a program's files."""
        self._ini(name).unlink(missing_ok=True)
        self._spec(name).unlink(missing_ok=True)

    def declared(self) -> list[str]:
        """Name the programs whose files stand."""
        return sorted(path.stem for path in (self.layout.supervisor / "conf.d").glob("*.ini"))

    def supervise(self, program: Program) -> bool:
        """Have a program running as it is described now; restarted only if that has changed.

        Returns:
            Whether a living one was restarted.
        """
        with self._files_held():
            changed = self.declare(program)
        state = self.states().get(program.name)
        if state and state.alive and not changed:
            return False
        self._take_out(program.name)
        with self._files_held():
            self._call("supervisor.reloadConfig")
        self._call("supervisor.addProcessGroup", program.name, allow=("ALREADY_ADDED",))
        return bool(state and state.alive)

    def keep(self, program: Program) -> None:
        """Have a running program started again whenever it ends, without touching it now."""
        with self._files_held():
            self.declare(replace(program, keep=True))
        self._call("coalmine.keep", program.name)

    def dismiss(self, name: str) -> None:
        """Stop a program for good, with all its children; does nothing if there is none."""
        with self._files_held():
            self.withdraw(name)
        self._take_out(name)

    def log_tail(self, name: str, lines: int = 12) -> str:
        """Give the last lines of a program's log; empty if there are none."""
        text = _text(self.layout.logs / f"{name}.log", errors="replace") or ""
        return "\n".join(text.splitlines()[-lines:])

    def _take_out(self, name: str) -> None:
        # One that ends again and again may be between two lives when it is told to stop.
        if not wait_for(lambda: self._is_taken_out(name), seconds=STOP_SECONDS, every=0.1):
            raise CoalmineError(f"the supervisor does not let go of {name}", fix=f"see {name}.log")
        sweep(self.layout.state, name, patience=1.0)

    def _is_taken_out(self, name: str) -> bool:
        self._call("supervisor.stopProcessGroup", name, False, allow=("BAD_NAME",))
        # Asking wakes it: left alone, it looks after its children only once a second.
        wait_for(lambda: self._is_down(name), seconds=STOP_SECONDS)
        self._call("supervisor.removeProcessGroup", name, allow=("BAD_NAME", "STILL_RUNNING"))
        return name not in self.states()

    def _files_held(self) -> FileLock:
        # A file that comes or goes while the supervisor reads them all would fail its reading.
        return FileLock(self.layout.supervisor / "files.lock")

    def _is_down(self, name: str) -> bool:
        state = self.states().get(name)
        return state is None or state.state in DOWN

    def _ini(self, name: str) -> Path:
        return self.layout.supervisor / "conf.d" / f"{name}.ini"

    def _spec(self, name: str) -> Path:
        return self.layout.supervisor / "programs" / f"{name}.json"

    def _call(self, method: str, *args: object, allow: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
        from supervisor.xmlrpc import Faults  # noqa: PLC0415 - slow, and not always needed

        try:
            with self._connected() as proxy:
                return getattr(proxy, method)(*args)
        except Fault as fault:
            if fault.faultCode in {getattr(Faults, name) for name in allow}:
                return None
            raise CoalmineError(f"the supervisor refused {method}: {fault.faultString}") from None
        except (OSError, ProtocolError) as error:
            raise CoalmineError(
                f"the supervisor of {self.layout.state} does not answer: {error}",
                fix=f"start it with: coalmine up --state {self.layout.state}",
            ) from None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[ServerProxy]:
        from supervisor.xmlrpc import SupervisorTransport  # noqa: PLC0415

        if not self.socket:
            raise FileNotFoundError("it was never started")
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        try:
            yield ServerProxy("http://127.0.0.1", transport=transport)
        finally:
            transport.close()


def _text(path: Path, errors: str = "strict") -> str | None:
    try:
        return path.read_text(errors=errors)
    except FileNotFoundError:
        return None


def _state_of(info: dict[str, Any]) -> ProgramState:
    return ProgramState(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"],
        since=info["start"],
        detail=info["description"] or info["spawnerr"],
    )
