"""How a layer's bytes are packed, and whether packing them is worth the time.

Model weights hardly shrink. A layer that does not is stored as a plain tar, which is hashed and
copied and nothing else.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from typing import IO, Any, Protocol, cast

from coalmine._base.errors import InputError
from coalmine.images.tar import Sink

__all__ = ["COMPRESSIONS", "PLAIN", "Packer", "Sampler", "packer", "unpacked"]

PLAIN = "none"
COMPRESSIONS = ("zstd", "gzip")
_LEVEL = 1  # level 3 of zstd makes layers 5 % smaller and takes twice as long
_SAMPLE = 64 << 10
_EVERY = 4 << 20
_FIRST = 1 << 20  # behind the headers, which shrink; what is smaller than this is packed
_WORTH = 0.95
_WINDOW = 128 << 20  # a frame that needs more memory than this to be read is refused
_MOST_THREADS = 4
_LARGE = 8 << 20


class Packer(Protocol):
    """Compresses what is written to it."""

    def write(self, content: bytes, /) -> int:
        """Take some bytes, all of them."""

    def finish(self) -> None:
        """Write what is left."""


class Sampler:
    """Tells from samples of what is written to it whether it would shrink.

    64 KiB out of every 4 MiB are compressed, from the second MiB on; the rest is not looked at.
    """

    def __init__(self) -> None:
        self._at = 0
        self._next = _FIRST
        self._before = 0
        self._after = 0

    @property
    def worth_packing(self) -> bool:
        """Whether the samples shrank by more than a twentieth."""
        return self._after < _WORTH * self._before or self._before == 0

    def write(self, content: bytes, /) -> int:
        """Look at some bytes."""
        while self._next < self._at + len(content):
            sample = content[self._next - self._at :][:_SAMPLE]
            self._before += len(sample)
            self._after += len(zlib.compress(sample, 1))
            self._next += _EVERY
        self._at += len(content)
        return len(content)


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
