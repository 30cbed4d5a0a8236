"""A bento's archive unpacked: a ``.bento`` file, whoever made it.

It is a tar in xz (what BentoML writes), gzip or nothing, or a zip.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import IO

from coalmine._base.errors import InputError
from coalmine._base.headers import HeaderError, strict_header
from coalmine.stores.limits import Limits
from coalmine.stores.tree import Tree, refused
from coalmine.stores.unpacked import DAMAGED, open_unpacked

__all__ = ["extract", "extract_tar"]

_CHUNK = 1 << 20
_LONGEST_LINK = 1 << 20
_LARGEST_TABLE = 128 << 20
_TABLE_ENTRY = b"PK\x01\x02"
# What zipfile unpacks of the others at once knows no bound: 4 kB of bzip2 can be gigabytes.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_NO_ZIP = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError),
    *(ValueError, IndexError, struct.error),
)


def extract(archive: Path, into: Path, limits: Limits) -> None:
    """Unpack an archive into a new folder.

    Args:
        archive: The file.
        into: A folder that does not exist yet; its parent does.
        limits: How much it may hold.

    Raises:
        InputError: It is no such archive, is damaged or cut off, holds too much, or anything in it
            would leave the folder or is no file, folder or link.
        OSError: The archive cannot be read or the folder not be written. What was unpacked until
            then is left, here and above, to be removed by the caller.
    """
    tree = Tree(into, limits)
    with archive.open("rb") as file:
        if file.read(2) == b"PK":
            with _Guarded(archive, limits) as guarded:
                _extract_zip(guarded, tree, limits)
        else:
            file.seek(0)
            extract_tar(file, tree, limits)
    tree.finish()


def extract_tar(file: IO[bytes], tree: Tree, limits: Limits) -> None:
    """Unpack a tar, packed or not, into a tree that is still to be finished; see ``extract``."""
    header = strict_header()
    try:
        stream = open_unpacked(file, limits)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=header) as archive:
            for member in archive:
                _place(tree, archive, member)
        if not header.ended:
            raise refused("it is cut off")
        while stream.read(_CHUNK):
            """To its end, where the checksum is."""
    except HeaderError as error:
        raise refused(str(error)) from None
    except (tarfile.TarError, *DAMAGED) as error:
        raise refused(f"it is damaged or no archive ({error})") from None


def _place(tree: Tree, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.issym():
        tree.link(member.name, member.linkname)
    elif member.islnk():
        tree.copy(member.name, member.linkname)
    elif member.isdir():
        tree.folder(member.name)
    elif member.isreg() and not member.issparse():
        content = archive.extractfile(member)
        assert content
        with content:
            tree.file(member.name, content, executable=bool(member.mode & 0o100))
    else:
        raise refused(f"{member.name!r} is neither file, folder nor link")


class _Guarded(io.BufferedReader):
    """A zip whose table is looked at before zipfile makes an object of each of its entries."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        super().__init__(io.FileIO(archive))
        self._entries = limits.entries

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_TABLE:
            raise refused("its table of contents is of absurd size")
        content = super().read(size)
        if content.count(_TABLE_ENTRY) > self._entries:
            raise _too_many(self._entries)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("an offset in it is below zero")
        return super().seek(offset, whence)


def _too_many(entries: int) -> InputError:
    return refused(f"it holds more than {entries} files, folders and links")


def _extract_zip(file: IO[bytes], tree: Tree, limits: Limits) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_swelling(archive, os.fstat(file.fileno()).st_size, limits)
            for member in archive.infolist():
                _place_zipped(tree, archive, member)
    except (*_NO_ZIP, *DAMAGED) as error:
        raise refused(f"it is damaged, encrypted or no zip ({error})") from None


def _refuse_swelling(archive: zipfile.ZipFile, packed: int, limits: Limits) -> None:
    """Sum up what is said; zipfile reads no more of a file than its entry says."""
    if len(archive.infolist()) > limits.entries:
        raise _too_many(limits.entries)
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(limits.free, limits.ratio * packed):
        raise refused(f"it swells to more than {limits.ratio} times its size")


def _place_zipped(tree: Tree, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if member.compress_type not in _METHODS:
        raise refused(f"{member.filename!r} is packed by a method that is not taken")
    mode = member.external_attr >> 16
    if member.is_dir():
        tree.folder(member.filename)
    elif stat.S_ISLNK(mode):
        tree.link(member.filename, _target(archive, member))
    elif stat.S_IFMT(mode) in {0, stat.S_IFREG}:
        with archive.open(member) as content:
            tree.file(member.filename, content, executable=bool(mode & 0o100))
    else:
        raise refused(f"{member.filename!r} is neither file, folder nor link")


def _target(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.file_size > _LONGEST_LINK:
        raise refused(f"the link {member.filename!r} is of absurd length")
    try:
        return archive.read(member).decode()
    except UnicodeDecodeError:
        raise InputError(f"the link {member.filename!r} is no text") from None
