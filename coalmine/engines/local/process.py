"""One process for one try of a task: started, waited for, and never left behind.

Three things keep a try from running beside its successor after the engine was killed: the kernel
kills the process when its parent dies (``setpriv --pdeathsig``, where there is one); the process
holds a lock file open; and the successor waits for that lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Exit", "Interrupted", "Leash", "PulledError", "hold_lock", "run_process"]

GRACE_SECONDS = 5.0
LOCK_POLL_SECONDS = 0.05


class Interrupted(BaseException):
    """This life of a run ends, and the run goes on in its next one.

    So it is when the engine closes, and when what has been done cannot be recorded.

    No Exception, so that nothing on the way takes it for the task's result and records it.
    """


class PulledError(Exception):
    """The run was cancelled before its process could be started."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: its exit code (negative: the signal), and whether it took too long."""

    code: int
    timed_out: bool = False


class Leash:
    """Lets another thread end the processes of a run, also those that are only about to start.

    Args:
        closing: Set when the engine closes.
    """

    def __init__(self, closing: threading.Event) -> None:
        self.cancelled = threading.Event()
        self.closing = closing
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._sheltered = False

    @contextlib.contextmanager
    def shelter(self) -> Iterator[None]:
        """Keep `cancel` off what runs meanwhile: the exit task."""
        self._sheltered = True
        try:
            yield
        finally:
            self._sheltered = False

    @property
    def pulled(self) -> bool:
        """Tell whether nothing more may run."""
        return self.closing.is_set() or (self.cancelled.is_set() and not self._sheltered)

    def cancel(self) -> None:
        """End what runs, and let nothing more start, but for what is sheltered."""
        self.cancelled.set()
        self.pull()

    def pull(self) -> None:
        """End the processes if they may not run any more."""
        with self._lock:
            if self.pulled:
                for process in self._processes:
                    _signal_group(process, signal.SIGTERM)

    def start(self, argv: Sequence[str], **options: object) -> subprocess.Popen[bytes] | None:
        """Start a process, or nothing if the leash was pulled."""
        with self._lock:
            if self.pulled:
                return None
            process: subprocess.Popen[bytes] = subprocess.Popen(argv, **options)  # type: ignore[call-overload]
            self._processes.add(process)
            return process

    def let_go(self, process: subprocess.Popen[bytes]) -> None:
        """Forget a process; it has ended."""
        with self._lock:
            self._processes.discard(process)

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than until the leash is pulled."""
        deadline = time.monotonic() + seconds
        while not self.pulled and (left := deadline - time.monotonic()) > 0:
            self.closing.wait(min(left, 0.1))


@contextlib.contextmanager
def hold_lock(path: Path, leash: Leash) -> Iterator[int]:
    """Wait until no process of an earlier life of this task is left, then hold its lock.

    Yields:
        The descriptor, for the process to inherit.

    Raises:
        Interrupted: The engine closes meanwhile.
        PulledError: The run is cancelled meanwhile.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _try_lock(descriptor):
            if leash.closing.wait(LOCK_POLL_SECONDS):
                raise Interrupted
            if leash.pulled:
                raise PulledError
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run_process(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    log: Path,
    lock: int,
    leash: Leash,
    timeout: float | None,
) -> Exit | None:
    """Run a process to its end.

    Args:
        argv: The command line.
        environ: Its whole environment.
        log: The file that takes its stdout and stderr.
        lock: A descriptor that it keeps open as long as it lives.
        leash: Ends it early.
        timeout: Seconds after which its whole process group is ended; None for no limit.

    Returns:
        How it ended; None if it was not started because the leash was pulled.

    Raises:
        OSError: It cannot be started.
        ValueError: An argument holds a NUL.
    """
    with log.open("ab") as output:
        process = leash.start(
            [*_die_with_parent(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            pass_fds=(lock,),
            start_new_session=True,
        )
    if process is None:
        return None
    try:
        return Exit(_wait(process, leash, timeout))
    except subprocess.TimeoutExpired:
        return Exit(_end_group(process), timed_out=True)
    finally:
        leash.let_go(process)


def _wait(process: subprocess.Popen[bytes], leash: Leash, timeout: float | None) -> int:
    """Wait for the end; once the leash is pulled, for the grace time at most."""
    deadline = None if timeout is None else time.monotonic() + timeout
    with _watched(process) as ended_within:
        while True:
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if ended_within(min(max(left, 0), 1.0)):
                return process.wait()
            if leash.pulled:
                return _end_group(process)
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, timeout or 0)


@contextlib.contextmanager
def _watched(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], bool]]:
    """Give a way to wait for a process that wakes at once; Popen.wait looks every 50 ms only."""
    descriptor = os.pidfd_open(process.pid)
    end = select.poll()
    end.register(descriptor, select.POLLIN)
    try:
        yield lambda seconds: bool(end.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _end_group(process: subprocess.Popen[bytes]) -> int:
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    _signal_group(process, signal.SIGKILL)
    return process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _die_with_parent() -> list[str]:
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "KILL", "--"] if found else []
