"""A layer as a tar that has the same bytes wherever and whenever it is written."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from coalmine.images.plan import BENTO_PATH, BENTOML_UID, Entry, Kind, Layer

__all__ = ["Sink", "write_tar"]

_TYPES = {Kind.FOLDER: tarfile.DIRTYPE, Kind.FILE: tarfile.REGTYPE, Kind.LINK: tarfile.SYMTYPE}


class Sink(Protocol):
    """What bytes can be written to, front to back."""

    def write(self, content: bytes, /) -> int:
        """Take some bytes, all of them."""


def write_tar(layer: Layer, context: Path, out: Sink, *, mtime: int = 0) -> None:
    """Write a layer's files, under BentoML's path, in the order of the plan.

    Args:
        layer: The plan.
        context: The folder in which the plan's paths are.
        out: Where to.
        mtime: Every entry's time, in seconds since 1970.

    Raises:
        OSError: A file cannot be read, or ``out`` not be written.
    """
    with tarfile.open(
        fileobj=cast("IO[bytes]", out), mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8"
    ) as archive:
        for parent in [*reversed(PurePosixPath(BENTO_PATH).parents[:-1]), BENTO_PATH]:
            archive.addfile(_parent(str(parent), mtime))
        for entry in layer.entries:
            _add(archive, entry, context / entry.path, mtime)


def _add(archive: tarfile.TarFile, entry: Entry, source: Path, mtime: int) -> None:
    info = _info(f"{BENTO_PATH}/{entry.path}", mtime)
    info.type = _TYPES[entry.kind]
    info.linkname = entry.target
    info.mode = 0o755 if entry.executable or entry.kind is not Kind.FILE else 0o644
    if entry.kind is not Kind.FILE:
        archive.addfile(info)
        return
    with source.open("rb") as content:
        info.size = source.stat().st_size
        archive.addfile(info, content)


def _parent(path: str, mtime: int) -> tarfile.TarInfo:
    info = _info(path, mtime)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    if path == "home":
        info.uid = info.gid = 0
    return info


def _info(path: str, mtime: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.uid = info.gid = BENTOML_UID
    info.mtime = mtime
    return info
