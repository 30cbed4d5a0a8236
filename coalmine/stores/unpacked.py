"""The bytes within a packed file, read front to back and never more than is allowed.

What packs it (xz, gzip, nothing) is seen from its first bytes, not from its name.
"""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, cast

from coalmine.stores.limits import Limits
from coalmine.stores.tree import refused

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["DAMAGED", "open_unpacked"]

DAMAGED = (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError)
"""What reading raises when the packed bytes are damaged or end too early."""

_CHUNK = 1 << 18


def open_unpacked(file: IO[bytes], limits: Limits) -> IO[bytes]:
    """Read what is packed in a file.

    Args:
        file: The packed file, at its beginning.
        limits: How much may come out; above that, reading raises InputError.

    Returns:
        A stream that cannot seek. Reading it raises one of ``DAMAGED``, or OSError, too.
    """
    start = file.read(8)
    file.seek(0)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        return file
    return io.BufferedReader(_Metered(opener(file, limits), file, limits), _CHUNK)


class _Metered(io.RawIOBase):
    """Compares what has come out with what has gone in."""

    def __init__(self, inner: IO[bytes], packed: IO[bytes], limits: Limits) -> None:
        self._inner, self._packed, self._limits = inner, packed, limits
        self._out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        content = self._inner.read(len(view))
        view[: len(content)] = content
        self._out += len(content)
        if self._out > max(self._limits.free, self._limits.ratio * self._packed.tell()):
            raise refused(f"it swells to more than {self._limits.ratio} times its size")
        return len(content)


class _Xz(io.RawIOBase):
    """Like lzma.LZMAFile, which cannot be told how much memory it may take."""

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self._file, self._memory = file, limits.memory
        self._stream = self._new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            packed = b""
            if self._stream.eof:
                packed = self._padding_skipped()
                if not packed:
                    return 0
                self._stream = self._new()
            elif self._stream.needs_input:
                packed = self._file.read(_CHUNK)
                if not packed:
                    raise EOFError("the xz file ends too early")
            content = self._stream.decompress(packed, len(view))
            if content:
                view[: len(content)] = content
                return len(content)

    def _padding_skipped(self) -> bytes:
        """Find the next of several streams in one file; zeros may lie between them."""
        packed = self._stream.unused_data.lstrip(b"\0")
        while not packed:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                return b""
            packed = chunk.lstrip(b"\0")
        return packed

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=self._memory)


def _xz(file: IO[bytes], limits: Limits) -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedReader(_Xz(file, limits), _CHUNK))


def _gzip(file: IO[bytes], limits: Limits) -> IO[bytes]:  # noqa: ARG001 - as every opener
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file))


_OPENERS: dict[bytes, Callable[[IO[bytes], Limits], IO[bytes]]] = {
    b"\xfd7zXZ\0": _xz,
    b"\x1f\x8b": _gzip,
}
