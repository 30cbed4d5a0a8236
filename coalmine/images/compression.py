"""How a layer's bytes are packed, and whether packing them is worth the time.

Model weights hardly shrink. A layer that does not is stored as a plain tar, which is hashed and
copied and nothing else.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterable
from typing import IO, Any, Protocol, cast

from coalmine._base.errors import InputError
from coalmine.images.tar import Sink

__all__ = ["COMPRESSIONS", "PLAIN", "Packer", "packer", "shrinks", "unpacked"]

PLAIN = "none"
COMPRESSIONS = ("zstd", "gzip")
_LEVEL = 1  # level 3 of zstd makes layers 5 % smaller and takes twice as long
_WORTH = 0.9  # weights in 32 bits shrink by a fourteenth, in 16 bits by a fifth
_WINDOW = 128 << 20  # a frame that needs more memory than this to be read is refused
_MOST_THREADS = 4
_LARGE = 8 << 20


class Packer(Protocol):
    """Compresses what is written to it."""

    def write(self, content: bytes, /) -> int:
        """Take some bytes, all of them."""

    def finish(self) -> None:
        """Write what is left."""


def shrinks(samples: Iterable[bytes]) -> bool:
    """Tell from samples of a content whether packing it is worth the time; so it is of nothing."""
    before = after = 0
    for sample in samples:
        before += len(sample)
        after += len(zlib.compress(sample, 1))
    return before == 0 or after < _WORTH * before


class _Gzip:
    """Has no time and no name in its header."""

    def __init__(self, out: Sink, _size: int) -> None:
        self._out = out
        self._zlib = zlib.compressobj(_LEVEL, wbits=31)

    def write(self, content: bytes, /) -> int:
        self._out.write(self._zlib.compress(content))
        return len(content)

    def finish(self) -> None:
        self._out.write(self._zlib.flush())


class _Zstd:
    """Compresses large contents on several cores.

    Whether it uses threads changes the bytes, how many does not: so the content decides that.
    """

    def __init__(self, out: Sink, size: int) -> None:
        import zstandard  # noqa: PLC0415 - only builders need it

        threads = min(_MOST_THREADS, os.cpu_count() or 1) if size >= _LARGE else 0
        self._out = out
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL, threads=threads).compressobj()

    def write(self, content: bytes, /) -> int:
        self._out.write(self._zstd.compress(content))
        return len(content)

    def finish(self) -> None:
        self._out.write(self._zstd.flush())


class _Plain:
    def __init__(self, out: Sink, _size: int) -> None:
        self._out = out

    def write(self, content: bytes, /) -> int:
        return self._out.write(content)

    def finish(self) -> None:
        """Have nothing left."""


class _Reader:
    """Reads on, and says of damaged input in one way that it ends too early."""

    def __init__(self, file: Any, *errors: type[Exception]) -> None:  # noqa: ANN401 - of two libraries
        self._file, self._errors = file, errors

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._file.read(size))
        except self._errors as error:
            raise EOFError(str(error)) from None


_PACKERS: dict[str, Callable[[Sink, int], Packer]] = {"zstd": _Zstd, "gzip": _Gzip, PLAIN: _Plain}


def packer(compression: str, out: Sink, size: int) -> Packer:
    """Begin to compress a content of some bytes into a sink: ``zstd``, ``gzip`` or ``none``."""
    return _PACKERS[compression](out, size)


def unpacked(file: IO[bytes], compression: str) -> IO[bytes]:
    """Read what `packer` wrote, front to back.

    Raises:
        InputError: The compression is not known.
    """
    if compression == "zstd":
        import zstandard  # noqa: PLC0415 - only those who unpack need it

        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            file, read_across_frames=True
        )
        return cast("IO[bytes]", _Reader(reader, zstandard.ZstdError))
    if compression == "gzip":
        return cast("IO[bytes]", _Reader(gzip.GzipFile(fileobj=file), gzip.BadGzipFile, zlib.error))
    if compression == PLAIN:
        return file
    raise InputError(f"{compression!r} is no compression", fix="use zstd, gzip or none")
