"""Build contexts: folders that are named by the digest of what is in them.

Beside them, in ``.coalmine``: locks, what is being fetched, and which context a source gave.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic
from coalmine.stores.protocol import Store

__all__ = ["OWN", "digest_of_folder", "keep_bento", "keep_context", "lanes", "walk"]

logger = logging.getLogger(__name__)

OWN = ".coalmine"
"""The folder among the contexts that is none."""

_LOCK_SECONDS = 600
_LOCKS = 256


def keep_context(
    contexts: Path,
    fetch: Callable[[Path], object],
    *,
    source: str = "",
    wanted: str = "",
    check: Callable[[Path], object] | None = None,
) -> tuple[Path, bool]:
    """Fetch a build context and keep it under the digest of its content.

    It is whole and on disk before it has its name; one that was changed since is fetched anew. What
    a killed one left half-done is swept away by the next one of the same source.

    Args:
        contexts: Where contexts are kept; made if it is not there.
        fetch: Writes the context into a folder that does not exist yet.
        source: Names what would be fetched, so that the same name always means the same content.
            It is fetched once, however many ask for it at once; empty if it has no such name.
        wanted: The digest that it must have; empty if any will do.
        check: Raises an error if the context is not to be taken. One that was there before is
            checked as well, and stays, as whoever fetched it has taken it.

    Returns:
        The context's folder, and whether it was there before.

    Raises:
        InputError: The check has changed it, and nothing is left of it.
        CoalmineError: It could not be written, or has another digest than the wanted one, and
            nothing is left of it; or another one fetches for too long.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only retrieve needs it

    key = hashlib.sha256(source.encode()).hexdigest()
    lane = int(key[:8], 16) % _LOCKS
    own = contexts / OWN
    try:
        new = own / "new" / str(lane)
        for folder in (own / "locks", own / "sources", new.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lanes(contexts)[lane], timeout=_LOCK_SECONDS):
            shutil.rmtree(new, ignore_errors=True)
            known = own / "sources" / key if source else None
            fetched = partial(_fetched, fetch, source, wanted, check)
            place, here = _keep(contexts, fetched, new, known)
            if here and check:
                _checked(place, place.name, check)
            return place, here
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


def lanes(contexts: Path) -> list[Path]:
    """Name every lock that a fetch may hold; the source says which."""
    return [contexts / OWN / "locks" / f"{lane}.lock" for lane in range(_LOCKS)]


def keep_bento(
    contexts: Path,
    store: Store,
    name: str,
    version: str,
    *,
    check: Callable[[Path], object] | None = None,
) -> tuple[Path, bool]:
    """Fetch a bento from a store, as ``keep_context`` does.

    Args:
        contexts: Where contexts are kept.
        store: Where the bento is.
        name: Its name.
        version: Its version, resolved.
        check: Raises an error if it is not to be taken.

    Raises:
        InputError: The bento is not there, is damaged or is refused, also by the check.
        CoalmineError: The store cannot be read, or the context not be kept.
    """
    found = store.find(name, version)
    return keep_context(contexts, found.fetch, source=found.source, check=check)


def digest_of_folder(folder: Path) -> str:
    """Name a folder by its content: 64 hexadecimal digits.

    Counted are every path, whether it is a folder, file or link, a file's content and whether its
    owner may run it, and a link's target. Times, owners and other permissions are not.
    """
    total = hashlib.sha256()
    for path, item in sorted(walk(folder)):
        for part in (path, *_facts(item)):
            raw = os.fsencode(part)
            total.update(len(raw).to_bytes(8, "big") + raw)
    return total.hexdigest()


def _fetched(
    fetch: Callable[[Path], object],
    source: str,
    wanted: str,
    check: Callable[[Path], object] | None,
    into: Path,
) -> str:
    fetch(into)
    digest = digest_of_folder(into)
    if wanted not in {"", digest}:
        raise CoalmineError(
            f"{source.partition(' ')[0]} holds another content, with the digest {digest}",
            fix="remove it there and run retrieve again",
        )
    if check:
        _checked(into, digest, check)
    return digest


def _checked(folder: Path, digest: str, check: Callable[[Path], object]) -> None:
    """Check a context; what runs in it may write there, and then it is not what was fetched."""
    check(folder)
    if digest_of_folder(folder) != digest:
        shutil.rmtree(folder)
        raise InputError(
            "the bento changes its own files when it is imported",
            fix="have it write elsewhere, and build the bento again; or do not ask for its import",
        )


def _keep(
    contexts: Path, fetch: Callable[[Path], str], new: Path, note: Path | None
) -> tuple[Path, bool]:
    known = _noted(contexts, note)
    if known and _is_sound(known):
        os.utime(known)  # the clean-up goes by when a context was last asked for
        return known, True
    new.mkdir()
    try:
        digest = fetch(new / "context")
        place, here = _named(contexts / digest, new / "context")
    finally:
        shutil.rmtree(new, ignore_errors=True)
    if note:
        write_atomic(note, place.name)
    return place, here


def _noted(contexts: Path, note: Path | None) -> Path | None:
    try:
        place = contexts / note.read_text() if note else None
    except FileNotFoundError:
        return None
    return place if place and place != contexts and place.is_dir() else None


def _named(place: Path, fetched: Path) -> tuple[Path, bool]:
    if not (place.is_dir() and _is_sound(place)):
        _to_disk(fetched)
        try:
            fetched.rename(place)
        except OSError:  # one that fetched the same from another source may have been quicker
            if not place.is_dir():
                raise
        else:
            return place, False
    os.utime(place)
    return place, True


def _is_sound(place: Path) -> bool:
    """Tell whether a context still holds what its name says; one that does not is taken away."""
    if digest_of_folder(place) == place.name:
        return True
    logger.warning(
        "a build context was changed, and is fetched anew", extra={"context": str(place)}
    )
    shutil.rmtree(place)
    return False


def walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Give everything below a folder, with its path relative to it; links are not followed."""
    with os.scandir(folder) as items:
        found = tuple(items)
    for item in found:
        yield prefix + item.name, Path(item.path)
        if item.is_dir(follow_symlinks=False):
            yield from walk(Path(item.path), f"{prefix}{item.name}/")


def _facts(item: Path) -> tuple[str, str]:
    if item.is_symlink():
        return "link", str(item.readlink())
    if item.is_dir():
        return "folder", ""
    kind = "program" if item.stat().st_mode & 0o100 else "file"
    with item.open("rb") as file:
        return kind, hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(folder: Path) -> None:
    for _, item in walk(folder):
        if item.is_file() and not item.is_symlink():
            number = os.open(item, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)
