"""A bento's archive unpacked: a ``.bento`` file, whoever made it.

It is a tar in xz (what BentoML writes), gzip or nothing, or a zip.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import IO, Self

from coalmine._base.errors import InputError
from coalmine.stores.limits import Limits
from coalmine.stores.tree import Tree, refused
from coalmine.stores.unpacked import DAMAGED, open_unpacked

__all__ = ["extract", "extract_tar"]

_BLOCK = 512
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20
_HEADERS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
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
            _extract_zip(file, tree, limits)
        else:
            file.seek(0)
            extract_tar(file, tree, limits)
    tree.finish()


def extract_tar(file: IO[bytes], tree: Tree, limits: Limits) -> None:
    """Unpack a tar, packed or not, into a tree that is still to be finished; see ``extract``."""
    header = _strict_header()
    try:
        stream = open_unpacked(file, limits)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=header) as archive:
            for member in archive:
                _place(tree, archive, member)
        if not header.ended:
            raise refused("it is cut off")
        while stream.read(_CHUNK):
            """To its end, where the checksum is."""
    except (tarfile.TarError, *DAMAGED) as error:
        raise refused(f"it is damaged or no archive ({error})") from None


class _Header(tarfile.TarInfo):
    """A header that says when it is the last.

    tarfile takes a damaged header for the end, and a name of any length into memory.
    """

    ended = False

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        cls.ended = len(buf) == _BLOCK and not any(buf)
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if cls.ended:
                raise
            raise refused(f"it is damaged, cut off or no archive ({error})") from None
        if header.type in _HEADERS and header.size > _LONGEST_HEADER:
            raise refused("a name in it is of absurd length")
        return header


def _strict_header() -> type[_Header]:
    class Header(_Header):
        """One an archive, since ``ended`` is kept in the class."""

    return Header


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


def _extract_zip(file: IO[bytes], tree: Tree, limits: Limits) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_swelling(archive, os.fstat(file.fileno()).st_size, limits)
            for member in archive.infolist():
                _place_zipped(tree, archive, member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, *DAMAGED) as error:
        raise refused(f"it is damaged, encrypted or no zip ({error})") from None


def _refuse_swelling(archive: zipfile.ZipFile, packed: int, limits: Limits) -> None:
    """Sum up what is said; zipfile reads no more of a file than its entry says."""
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(limits.free, limits.ratio * packed):
        raise refused(f"it swells to more than {limits.ratio} times its size")


def _place_zipped(tree: Tree, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
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
    if member.file_size > _LONGEST_HEADER:
        raise refused(f"the link {member.filename!r} is of absurd length")
    try:
        return archive.read(member).decode()
    except UnicodeDecodeError:
        raise InputError(f"the link {member.filename!r} is no text") from None
