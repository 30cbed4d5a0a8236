"""Find and end processes of a stack whose supervisor is gone.

A process group or a parent is not enough: a model server's worker outlives a parent that was
killed. The environment a process was started with stays with it and with all its children.
"""

from __future__ import annotations

from pathlib import Path

import psutil

__all__ = ["PROGRAM_MARK", "STACK_MARK", "lives", "marked", "sweep"]

STACK_MARK = "COALMINE_STACK"
PROGRAM_MARK = "COALMINE_PROGRAM"


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be noticed does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(state: Path, program: str = "") -> list[psutil.Process]:
    """List the living processes of a stack, or of one program of it.

    The caller and the processes that it runs in are left out.
    """
    here = psutil.Process()
    spared = {here.pid, *(parent.pid for parent in here.parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in spared and _has_mark(process, str(state), program)
    ]


def sweep(state: Path, program: str = "", *, patience: float = 3.0) -> int:
    """End what is left of a stack, or of one program of it.

    Args:
        state: The stack's state folder, absolute.
        program: Only this program; all when empty.
        patience: Seconds from the request to end until it is killed; 0 waits for nothing.

    Returns:
        How many processes were ended.
    """
    found = marked(state, program)
    for process in found:
        _signal(process, "terminate")
    _, stubborn = psutil.wait_procs(found, timeout=patience)
    for process in stubborn:
        _signal(process, "kill")
    psutil.wait_procs(stubborn, timeout=patience)
    return len(found)


def _has_mark(process: psutil.Process, state: str, program: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        environ = process.environ()
    except (psutil.Error, OSError):
        return False
    return environ.get(STACK_MARK) == state and program in ("", environ.get(PROGRAM_MARK))


def _signal(process: psutil.Process, name: str) -> None:
    try:
        getattr(process, name)()
    except psutil.Error:
        return
