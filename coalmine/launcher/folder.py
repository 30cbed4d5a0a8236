"""The state folder of a launcher: whose it is, and that it is one launcher's alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic

__all__ = ["identity", "own"]


def identity(state: Path) -> str:
    """Give the id of the launcher with this state folder, the same after every restart."""
    path = state / "launcher.id"
    if not path.is_file():
        write_atomic(path, uuid.uuid4().hex)
    return path.read_text(encoding="ascii")


@contextlib.contextmanager
def own(state: Path) -> Iterator[None]:
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
