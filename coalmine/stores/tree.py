"""A new folder that is filled from an archive, and that nothing in the archive can leave.

Only files, folders and links that stay inside are taken. Links are made after all files, so that
nothing is ever written through one. Owners, times and special bits are not taken over.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import IO

from coalmine._base.errors import InputError
from coalmine.images.plan import stays_inside
from coalmine.stores.limits import Limits

__all__ = ["Tree", "refused"]

_CHUNK = 1 << 20
_LONGEST_PART = 255  # bytes, on every file system we know
_LONGEST_PATH = 2048


def refused(why: str) -> InputError:
    """Say that an archive is not taken, and why."""
    return InputError(
        f"the archive is refused: {why}",
        fix="make it again with: coalmine push, or bentoml export",
    )


class Tree:
    """The folder that is being filled.

    Args:
        root: A folder that does not exist yet; its parent does.
        limits: How much may be put into it.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._size = 0
        self._entries = 0
        self._folders = {""}
        self._files: set[str] = set()
        self._links: dict[str, str] = {}
        root.mkdir()

    def folder(self, name: str) -> None:
        """Make a folder; one that is there stays.

        Raises:
            InputError: It would leave the tree, or something else stands there; or the archive
                holds too much. So of every method below.
            OSError: It cannot be written. So of every method below.
        """
        path = self._path(name)
        if path not in self._folders:
            self._refuse_taken(path)
            self._make_parents(f"{path}/_")

    def file(self, name: str, content: IO[bytes], *, executable: bool = False) -> None:
        """Write a file; at its end the content must be at its end too."""
        place = self._new(name)
        with place.open("xb") as out:
            while chunk := content.read(_CHUNK):
                self._count(len(chunk))
                out.write(chunk)
        place.chmod(0o755 if executable else 0o644)

    def copy(self, name: str, of: str) -> None:
        """Write a file once more that is there already: what a hard link is in an archive."""
        source = self._path(of)
        if source not in self._files:
            raise refused(f"{name!r} is a hard link to {of!r}, which is no file before it")
        place = self._root / source
        with place.open("rb") as content:
            self.file(name, content, executable=bool(place.stat().st_mode & 0o100))

    def link(self, name: str, target: str) -> None:
        """Note a symbolic link; it is made at the end."""
        path = self._path(name)
        if not stays_inside(path, target) or "\0" in target:
            raise refused(f"{name!r} is a link to {target!r}, which leads out of it")
        self._refuse_taken(path)
        self._make_parents(path)
        self._links[path] = target

    def finish(self) -> None:
        """Make the links."""
        for path, target in self._links.items():
            (self._root / path).symlink_to(target)

    def _new(self, name: str) -> Path:
        path = self._path(name)
        self._refuse_taken(path)
        self._make_parents(path)
        self._files.add(path)
        return self._root / path

    def _path(self, name: str) -> str:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise refused(f"it holds more than {self._limits.entries} files, folders and links")
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise refused(f"{name!r} would leave the folder it is unpacked to")
        if len(name) > _LONGEST_PATH or any(_too_long(part) for part in parts):
            raise refused(f"{name[:40]!r}... is too long a name")
        return "/".join(parts)

    def _refuse_taken(self, path: str) -> None:
        if path in self._files or path in self._links or path in self._folders:
            raise refused(f"{path!r} is in it twice")

    def _make_parents(self, path: str) -> None:
        missing = []
        for parent in map(str, PurePosixPath(path).parents):
            if parent == "." or parent in self._folders:
                break
            if parent in self._files or parent in self._links:
                raise refused(f"{path!r} lies in {parent!r}, which is no folder")
            missing.append(parent)
        for parent in reversed(missing):
            (self._root / parent).mkdir()
            self._folders.add(parent)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.size:
            raise refused(
                f"it holds more than {self._limits.size} bytes, "
                "which is as much as COALMINE_MAX_BENTO_BYTES allows"
            )


def _too_long(part: str) -> bool:
    return len(part.encode("utf-8", "surrogateescape")) > _LONGEST_PART
