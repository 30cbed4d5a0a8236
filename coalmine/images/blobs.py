"""A folder of blobs, each by the digest of its content, each whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from coalmine._base.errors import InputError
from coalmine.images.config import Blob
from coalmine.images.tar import Sink
from coalmine.registry.digest import digest_of, is_digest

__all__ = ["Blobs", "HashingWriter"]

_PIECE = 1 << 20


class HashingWriter:
    """Takes bytes, counts and hashes them, and passes them on if there is where to.

    Args:
        out: Where to pass them; stays open.
    """

    def __init__(self, out: Sink | None = None) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._out = out

    @property
    def blob(self) -> Blob:
        """Digest and size of what has come so far."""
        return Blob("sha256:" + self._hash.hexdigest(), self.size)

    def write(self, content: bytes, /) -> int:
        """Take some bytes."""
        self._hash.update(content)
        self.size += len(content)
        if self._out is not None:
            self._out.write(content)
        return len(content)


class Blobs:
    """The blobs of one layout.

    Args:
        folder: Where they are.
        temporary: A folder on the same disk, for what is not whole yet.
        durable: Whether a blob is on disk before its name is there. A cache need not be: what a
            power cut takes from it is built again.
    """

    def __init__(self, folder: Path, temporary: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._folder = folder
        self._temporary = temporary

    def add(self, content: bytes) -> tuple[Blob, bool]:
        """Store a small blob; tell whether it was here before."""
        blob = Blob(digest_of(content), len(content))
        if self.is_sound(blob):
            return blob, True
        return self.store(lambda out: _write(out, content)), False

    def store(self, write: Callable[[Sink], None]) -> Blob:
        """Store what a function writes; its name is there once it is whole.

        Raises:
            OSError: It cannot be written; nothing is left of it.
        """
        with self._written() as (file, name):
            through = HashingWriter(file)
            write(through)
            name(through.blob.digest)
        return through.blob

    def adopt(self, file: IO[bytes], blob: Blob) -> None:
        """Store a copy of a file whose digest was found while it was written.

        Raises:
            OSError: It cannot be written; nothing is left of it.
        """
        file.seek(0)
        with self._written() as (out, name):
            shutil.copyfileobj(file, out, _PIECE)
            name(blob.digest)

    @contextlib.contextmanager
    def _written(self) -> Iterator[tuple[IO[bytes], Callable[[str], None]]]:
        """Give a file to write, and what names it once it is whole; else it is taken away."""
        number, temporary = tempfile.mkstemp(dir=self._temporary)
        try:
            with os.fdopen(number, "wb") as file:

                def name(digest: str) -> None:
                    file.flush()
                    if self._durable:
                        os.fsync(file.fileno())
                    Path(temporary).chmod(0o644)
                    Path(temporary).replace(self.path(digest))

                yield file, name
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
            raise

    def has(self, blob: Blob) -> bool:
        """Tell whether a blob is here, by its name and size."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def is_sound(self, blob: Blob) -> bool:
        """Tell whether a blob is here, by its content."""
        if not self.has(blob):
            return False
        with self.path(blob.digest).open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() == blob.digest

    def stamp(self, blob: Blob) -> list[int] | None:
        """Give what changes when anyone writes to a blob's file; None if it is not here."""
        try:
            found = self.path(blob.digest).stat()
        except FileNotFoundError:
            return None
        return [found.st_size, found.st_mtime_ns, found.st_ino]

    def read(self, digest: str) -> bytes:
        """Read a small blob.

        Raises:
            InputError: It is not here, or its content is not what its name says.
        """
        with self.open(digest) as file:
            return file.read()

    def open(self, digest: str) -> IO[bytes]:
        """Open a blob once its content was verified; a damaged one is taken away.

        Raises:
            InputError: It is not here, or its content is not what its name says.
        """
        place = self.path(digest)
        try:
            file = place.open("rb")
        except FileNotFoundError:
            raise InputError(f"there is no {place}", fix="build the image again") from None
        if "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() != digest:
            file.close()
            place.unlink(missing_ok=True)
            raise InputError(
                f"{place} was damaged: its content had another digest than its name",
                fix="build the image again",
            )
        file.seek(0)
        return file

    def path(self, digest: str) -> Path:
        """Give the file of a blob, whether or not it is there.

        Raises:
            InputError: It is no digest: a registry may write a path there, to have it removed.
        """
        if not is_digest(digest):
            raise InputError(
                f"{digest!r} is no digest", fix="see who wrote the image that names it"
            )
        return self._folder / digest.removeprefix("sha256:")


def _write(out: Sink, content: bytes) -> None:
    out.write(content)
