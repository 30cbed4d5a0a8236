"""Layers unpacked over one another into a folder that nothing in them can leave.

A layer may come from anyone. Only plain files, folders and links that stay inside are taken; links
are made after all files, so that no file is written through one; owners and special bits are not
taken over.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from coalmine._base.errors import InputError
from coalmine._base.headers import HeaderError, strict_header
from coalmine.images.compression import unpacked
from coalmine.images.plan import stays_inside

__all__ = ["Tree", "safe_path"]

_PIECE = 1 << 20
_WHITEOUT = ".wh."


class Tree:
    """A folder that layers are unpacked into, lowest first.

    Args:
        root: The folder; it exists.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._links: dict[str, str] = {}

    def add_layer(self, file: IO[bytes], compression: str, below: str = "") -> None:
        """Unpack one layer over what is there.

        Args:
            file: The layer.
            compression: How it is packed.
            below: Leave out what does not lie below this folder, without a final slash.

        Raises:
            InputError: It is no tar, or something in it would leave the folder or is not taken.
            OSError: The folder cannot be written.
        """
        header = strict_header()
        try:
            with tarfile.open(
                fileobj=unpacked(file, compression), mode="r|", bufsize=_PIECE, tarinfo=header
            ) as archive:
                for member in archive:
                    if not below or member.name.startswith(f"{below}/"):
                        self._place(archive, member)
        except (tarfile.TarError, HeaderError, EOFError) as error:
            raise InputError(f"a layer is no {compression} tar: {error}") from None
        if not header.ended:
            raise InputError(f"a layer is no {compression} tar: it is cut off")

    def make_links(self) -> None:
        """Make the links of all layers, once every file is in its place."""
        for path, target in sorted(self._links.items()):
            place = self._root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(target)

    def _place(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = safe_path(member.name)
        if path == "":
            return
        self._refuse_behind_link(path)
        place = self._root / path
        if member.issym():
            self._note_link(path, member.linkname)
        elif member.isdir():
            self._links.pop(path, None)
            place.mkdir(parents=True, exist_ok=True)
        elif member.isreg() and not member.issparse():
            self._links.pop(path, None)
            _write_file(archive, member, place)
        else:
            raise InputError(f"{member.name} in a layer is neither file, folder nor link")

    def _note_link(self, path: str, target: str) -> None:
        if not stays_inside(path, target):
            raise InputError(f"{path} in a layer is a link to {target}, which leads out of it")
        if (self._root / path).is_dir() or any(link.startswith(f"{path}/") for link in self._links):
            raise InputError(f"{path} in a layer is both a folder and a link")
        self._links[path] = target

    def _refuse_behind_link(self, path: str) -> None:
        for parent in PurePosixPath(path).parents:
            if str(parent) in self._links:
                raise InputError(f"{path} in a layer lies behind the link {parent}")


def safe_path(name: str) -> str:
    """Give a member's path relative to the root; empty for the root itself.

    Raises:
        InputError: It would leave the root, or is a whiteout, which no layer of a bento needs.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise InputError(f"{name!r} in a layer would leave the folder it is unpacked to")
    if any(part.startswith(_WHITEOUT) for part in parts):
        raise InputError(f"{name!r} in a layer takes away a file, which is not supported")
    return "/".join(parts)


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    content = archive.extractfile(member)
    if content is None:
        raise InputError(f"{member.name} in a layer has no content")
    if place.is_dir():
        raise InputError(f"{member.name} in a layer is both a folder and a file")
    place.parent.mkdir(parents=True, exist_ok=True)
    with content, place.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    place.chmod(0o755 if member.mode & 0o100 else 0o644)
