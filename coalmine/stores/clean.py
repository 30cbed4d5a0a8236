"""Contexts that nobody has asked for in a while, taken away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.stores.context import OWN, lanes

__all__ = ["Removed", "clean_contexts"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Removed:
    """A context that was, or would be, taken away.

    Attributes:
        context: Its folder.
        size: Bytes in its files.
    """

    context: Path
    size: int


def clean_contexts(contexts: Path, *, before: float, dry_run: bool = False) -> list[Removed]:
    """Remove the contexts that were last asked for before a moment.

    No retrieve runs meanwhile, so none can be handed a context that is being removed.

    Args:
        contexts: Where contexts are kept.
        before: Seconds since 1970.
        dry_run: Remove nothing.

    Returns:
        What was, or would be, removed.

    Raises:
        CoalmineError: A retrieve is under way.
        OSError: Something cannot be removed.
    """
    if not contexts.is_dir():
        return []
    with _alone(contexts):
        old = [Removed(place, _size(place)) for place in _old(contexts, before)]
        if not dry_run:
            for one in old:
                shutil.rmtree(one.context)
            shutil.rmtree(contexts / OWN / "new", ignore_errors=True)
            _forget(contexts)
    return old


@contextmanager
def _alone(contexts: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only the clean-up needs it

    with ExitStack() as held:
        for lock in lanes(contexts):
            lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(lock, timeout=0))
            except Timeout:
                raise CoalmineError(
                    f"a retrieve is under way in {contexts}", fix="run this again when it has ended"
                ) from None
        yield


def _old(contexts: Path, before: float) -> Iterator[Path]:
    for place in sorted(contexts.iterdir()):
        if _DIGEST.fullmatch(place.name) and place.stat().st_mtime < before:
            yield place


def _forget(contexts: Path) -> None:
    """Remove the notes of sources whose context is gone."""
    for note in (contexts / OWN / "sources").glob("*"):
        if not (contexts / note.read_text()).is_dir():
            note.unlink()


def _size(folder: Path) -> int:
    return sum(item.lstat().st_size for item in folder.rglob("*") if not item.is_dir())
