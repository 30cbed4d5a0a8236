"""A folder as one tar that has the same bytes wherever and whenever it is made."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.stores.context import walk

__all__ = ["tar_of"]

_CHUNK = 1 << 20


def tar_of(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[bytes]:
    """Pack a folder, sorted by path; owners, times and other permissions are left out.

    Args:
        folder: The folder.
        wanted: Which paths, relative to the folder, to pack.

    Raises:
        CoalmineError: A file changed while it was read.
        OSError: A file cannot be read.
    """
    for path, item in sorted(walk(folder)):
        if wanted(path):
            yield from _entry(path, item)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _entry(path: str, item: Path) -> Iterator[bytes]:
    info = tarfile.TarInfo(path)
    info.mode = 0o755
    if item.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, str(item.readlink())
    elif item.is_dir():
        info.type = tarfile.DIRTYPE
    else:
        facts = item.stat()
        info.size, info.mode = facts.st_size, 0o755 if facts.st_mode & 0o100 else 0o644
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if info.isreg():
        yield from _content(item, info.size)


def _content(item: Path, size: int) -> Iterator[bytes]:
    left = size
    with item.open("rb") as file:
        while chunk := file.read(_CHUNK):
            left -= len(chunk)
            yield chunk
    if left:
        raise CoalmineError(f"{item} changed while it was read", fix="run this again")
    yield bytes(-size % tarfile.BLOCKSIZE)
