"""Bytes wrapped into a gzip file as they are, not made smaller.

Kaniko reads a context in a bucket as gzip, and nothing else. Formats: RFC 1952, and RFC 1951
section 3.2.4, blocks without compression.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

__all__ = ["wrapped_gz"]

_PIECE = 0xFFFF  # the most that one block can hold
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, no system
_END = b"\x01\x00\x00\xff\xff"  # the last block, empty


def wrapped_gz(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give a gzip file that holds these bytes."""
    yield _HEADER
    size = check = 0
    for chunk in chunks:
        size, check = size + len(chunk), zlib.crc32(chunk, check)
        yield b"".join(_blocks(chunk))
    yield _END + check.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def _blocks(chunk: bytes) -> Iterator[bytes]:
    for start in range(0, len(chunk), _PIECE):
        piece = chunk[start : start + _PIECE]
        size = len(piece)
        yield b"\x00" + size.to_bytes(2, "little") + (size ^ _PIECE).to_bytes(2, "little")
        yield piece
