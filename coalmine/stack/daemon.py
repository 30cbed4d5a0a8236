"""Start and stop the supervisor process itself."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import tempfile
from pathlib import Path

import coalmine
from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.stack.launch import dies_with_parent
from coalmine.stack.layout import Layout
from coalmine.stack.programs import main_ini
from coalmine.stack.supervisor import Supervisor
from coalmine.stack.sweep import STACK_MARK, lives, sweep
from coalmine.stack.waiting import wait_for

__all__ = ["start_supervisor", "stop_supervisor"]

SOCKET_BYTES = 85
"""A unix socket's path has 107 bytes at most, and the supervisor adds its process id to try."""
STOP_SECONDS = 60.0


def start_supervisor(layout: Layout, *, bound: bool) -> subprocess.Popen[bytes] | None:
    """Start the supervisor with the programs whose files stand, and wait until it answers.

    Args:
        layout: The state folder.
        bound: End it when the calling thread ends; else it lives on by itself.

    Returns:
        The process when it is bound.

    Raises:
        CoalmineError: It did not start; the message has the end of its log.
    """
    _prepare(layout)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
    command = [*dies_with_parent("TERM"), *command, "--nodaemon"] if bound else command
    with (layout.logs / "supervisord.out").open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=layout.supervisor,
            env=_environment(layout),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # A terminal's Ctrl-C goes to the whole foreground group; the order of stopping is ours.
            start_new_session=True,
        )
    if not bound:
        process.wait(timeout=30)
    if not wait_for(Supervisor(layout).running, seconds=15):
        process.kill()
        process.wait()
        said = (layout.logs / "supervisord.out").read_text(errors="replace").strip()
        raise CoalmineError(f"the supervisor did not start: {said or 'it said nothing'}")
    return process if bound else None


def stop_supervisor(layout: Layout, process: subprocess.Popen[bytes] | None = None) -> None:
    """Stop all programs in order, then the supervisor; then end whatever is left."""
    supervisor = Supervisor(layout)
    if supervisor.running():
        pid = supervisor.shutdown()
        wait_for(lambda: _is_gone(supervisor, pid, process), seconds=STOP_SECONDS)
    sweep(layout.state)
    if process:
        process.wait(timeout=STOP_SECONDS)
    _remove_socket(supervisor.socket, layout)


def _is_gone(supervisor: Supervisor, pid: int, process: subprocess.Popen[bytes] | None) -> bool:
    supervisor.running()  # Asking wakes it: left alone, it looks at its children once a second.
    return process.poll() is not None if process else not lives(pid)


def _prepare(layout: Layout) -> None:
    for folder in (layout.logs, layout.supervisor / "conf.d", layout.supervisor / "programs"):
        folder.mkdir(parents=True, exist_ok=True)
    if any(sign in str(layout.supervisor) for sign in "*?["):
        raise CoalmineError(
            f"{layout.state} has one of the signs * ? [ in its path, which the supervisor expands",
            fix="choose another state folder",
        )
    _remove_socket(Supervisor(layout).socket, layout)
    socket = _socket_path(layout)
    write_atomic(layout.supervisor / "socket", socket)
    write_atomic(layout.supervisor / "supervisord.conf", main_ini(socket))


def _socket_path(layout: Layout) -> str:
    near = str(layout.supervisor / "sock")
    if len(near.encode()) <= SOCKET_BYTES:
        return near
    return str(Path(tempfile.mkdtemp(prefix="coalmine-")) / "sock")


def _remove_socket(socket: str, layout: Layout) -> None:
    if not socket:
        return
    Path(socket).unlink(missing_ok=True)
    folder = Path(socket).parent
    if folder != layout.supervisor and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    (layout.supervisor / "socket").unlink(missing_ok=True)


def _environment(layout: Layout) -> dict[str, str]:
    environment = {**os.environ, STACK_MARK: str(layout.state)}
    root = str(Path(coalmine.__file__).parent.parent)
    if root not in site.getsitepackages():
        # Run from a checkout: the supervisor has another working folder and must find us.
        path = [root, *environment.get("PYTHONPATH", "").split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, path)))
    return environment
