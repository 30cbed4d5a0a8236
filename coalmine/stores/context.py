"""Build contexts: folders that are named by the digest of what is in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from coalmine._base.errors import CoalmineError

__all__ = ["digest_of_folder", "keep_context"]

_LOCK_SECONDS = 600
_TEMPORARY = ".new-"


def keep_context(contexts: Path, fetch: Callable[[Path], None]) -> tuple[Path, bool]:
    """Fetch a build context and keep it under the digest of its content.

    It is whole and on disk before it has its name. Only one is fetched at a time, so that what a
    killed one left half-done can be swept away.

    Args:
        contexts: Where contexts are kept; made if it is not there.
        fetch: Writes the context into a folder that does not exist yet.

    Returns:
        The context's folder, and whether it was there before.

    Raises:
        CoalmineError: It could not be written, and nothing is left of it; or another one fetches
            for too long.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only retrieve needs it

    try:
        contexts.mkdir(parents=True, exist_ok=True)
        with FileLock(contexts / ".lock", timeout=_LOCK_SECONDS):
            _sweep(contexts)
            return _keep(contexts, fetch)
    except Timeout:
        raise CoalmineError(
            f"another retrieve has held {contexts} for {_LOCK_SECONDS} s",
            fix="wait for it to end, or stop it",
        ) from None
    except OSError as error:
        raise CoalmineError(
            f"the build context could not be kept in {contexts}: {error.strerror or error}",
            fix="make room there; see that it can be written",
        ) from error


def digest_of_folder(folder: Path) -> str:
    """Name a folder by its content: 64 hexadecimal digits.

    Counted are every path, whether it is a folder, file or link, a file's content and whether its
    owner may run it, and a link's target. Times, owners and other permissions are not.
    """
    total = hashlib.sha256()
    for path, item in sorted(_walk(folder, "")):
        for part in (path, *_facts(item)):
            raw = os.fsencode(part)
            total.update(len(raw).to_bytes(8, "big") + raw)
    return total.hexdigest()


def _keep(contexts: Path, fetch: Callable[[Path], None]) -> tuple[Path, bool]:
    temporary = Path(tempfile.mkdtemp(dir=contexts, prefix=_TEMPORARY))
    try:
        fetched = temporary / "context"
        fetch(fetched)
        place = contexts / digest_of_folder(fetched)
        if place.is_dir():
            return place, True
        _to_disk(fetched)
        fetched.rename(place)
        return place, False
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(contexts: Path) -> None:
    for left in contexts.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(left, ignore_errors=True)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as items:
        found = tuple(items)
    for item in found:
        yield prefix + item.name, Path(item.path)
        if item.is_dir(follow_symlinks=False):
            yield from _walk(Path(item.path), f"{prefix}{item.name}/")


def _facts(item: Path) -> tuple[str, str]:
    if item.is_symlink():
        return "link", str(item.readlink())
    if item.is_dir():
        return "folder", ""
    kind = "program" if item.stat().st_mode & 0o100 else "file"
    with item.open("rb") as file:
        return kind, hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(folder: Path) -> None:
    for _, item in _walk(folder, ""):
        if item.is_file() and not item.is_symlink():
            number = os.open(item, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)
