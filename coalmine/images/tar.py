"""A layer as a tar that has the same bytes wherever and whenever it is written."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from coalmine._base.errors import CoalmineError
from coalmine.images.plan import BENTOML_UID, Entry, Kind, Layer

__all__ = ["Sink", "TarWriter", "tar_pieces", "tar_size", "write_tar"]

_PIECE = 1 << 20


class Sink(Protocol):
    """What bytes can be written to, front to back."""

    def write(self, content: bytes, /) -> int:
        """Take some bytes, all of them."""


class TarWriter:
    """Writes entries one after another, with the headers that `tarfile` makes.

    Args:
        out: Where to.
        mtime: Every entry's time, in seconds since 1970.
        owner: User and group id of every entry that has no other.
    """

    def __init__(self, out: Sink, *, mtime: int = 0, owner: int = BENTOML_UID) -> None:
        self._out, self._mtime, self._owner = out, mtime, owner
        self._written = 0

    def folder(self, path: str, *, owner: int | None = None) -> None:
        """Write a folder, with mode 755."""
        info = self._info(path, owner)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        self._header(info)

    def link(self, path: str, target: str) -> None:
        """Write a symbolic link."""
        info = self._info(path)
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o755, target
        self._header(info)

    def content(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a small file."""
        info = self._info(path)
        info.mode, info.size = mode, len(content)
        self._header(info)
        self._write(content)
        self._pad(tarfile.BLOCKSIZE)

    def file(self, path: str, source: Path, *, mode: int = 0o644) -> None:
        """Write a file, a megabyte at a time.

        Raises:
            CoalmineError: It changed while it was read.
            OSError: It cannot be read.
        """
        for _ in self.file_steps(path, source, mode=mode):
            pass

    def file_steps(self, path: str, source: Path, *, mode: int = 0o644) -> Iterator[None]:
        """Write a file as `file` does, and pause after each megabyte."""
        info = self._info(path)
        with source.open("rb", buffering=0) as content:
            info.mode, info.size = mode, os.fstat(content.fileno()).st_size
            self._header(info)
            left = info.size
            while left and (piece := content.read(min(left, _PIECE))):
                self._write(piece)
                left -= len(piece)
                yield
        if left:
            raise CoalmineError(f"{source} changed while it was read", fix="build it again")
        self._pad(tarfile.BLOCKSIZE)

    def finish(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._pad(tarfile.RECORDSIZE)

    def _info(self, path: str, owner: int | None = None) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path)
        info.uid = info.gid = self._owner if owner is None else owner
        info.mtime = self._mtime
        return info

    def _header(self, info: tarfile.TarInfo) -> None:
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _pad(self, to: int) -> None:
        self._write(bytes(-self._written % to))

    def _write(self, content: bytes) -> None:
        self._out.write(content)
        self._written += len(content)


def write_tar(layer: Layer, context: Path, out: Sink, *, mtime: int = 0) -> None:
    """Write a layer's files, under its root, in the order of the plan.

    Args:
        layer: The plan.
        context: The folder in which the plan's paths are.
        out: Where to.
        mtime: Every entry's time, in seconds since 1970.

    Raises:
        CoalmineError: A file changed while it was read.
        OSError: A file cannot be read, or ``out`` not be written.
    """
    for _ in _steps(TarWriter(out, mtime=mtime, owner=layer.owner), layer, context):
        pass


def tar_pieces(layer: Layer, context: Path, *, mtime: int = 0) -> Iterator[bytes]:
    """Give what `write_tar` writes, a megabyte or less at a time.

    Raises:
        CoalmineError: A file changed while it was read.
        OSError: A file cannot be read.
    """
    out = _Pending()
    for _ in _steps(TarWriter(out, mtime=mtime, owner=layer.owner), layer, context):
        yield out.take()
    yield out.take()


def tar_size(layer: Layer, context: Path) -> int:
    """Say how many bytes `write_tar` writes, from the sizes of the files alone.

    Raises:
        OSError: A file is not there.
    """
    counted = _Counter()
    for _ in _steps(counted, layer, context):
        pass
    return counted.size


class _Counter(TarWriter):
    """Counts what a writer would write, and reads no file."""

    def __init__(self) -> None:
        super().__init__(_Pending())

    @property
    def size(self) -> int:
        return self._written

    def file_steps(self, path: str, source: Path, *, mode: int = 0o644) -> Iterator[None]:
        info = self._info(path)
        info.mode, info.size = mode, source.stat().st_size
        self._header(info)
        self._written += info.size
        self._pad(tarfile.BLOCKSIZE)
        yield


class _Pending:
    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, content: bytes, /) -> int:
        self._pieces.append(content)
        return len(content)

    def take(self) -> bytes:
        taken, self._pieces = self._pieces, []
        return taken[0] if len(taken) == 1 else b"".join(taken)


def _steps(archive: TarWriter, layer: Layer, context: Path) -> Iterator[None]:
    for parent in [*reversed(PurePosixPath(layer.root).parents[:-1]), layer.root]:
        archive.folder(str(parent), owner=0 if str(parent) == "home" else None)
    for entry in layer.entries:
        path = f"{layer.root}/{entry.path}"
        yield from _add(archive, path, entry, layer.file_in(context, entry))
    archive.finish()


def _add(archive: TarWriter, path: str, entry: Entry, source: Path) -> Iterator[None]:
    if entry.kind is Kind.FOLDER:
        archive.folder(path)
    elif entry.kind is Kind.LINK:
        archive.link(path, entry.target)
    else:
        yield from archive.file_steps(path, source, mode=0o755 if entry.executable else 0o644)
