"""Bytes wrapped into an xz file as they are, not made smaller.

BentoML reads a ``.bento`` file as xz, whatever is in it. Weights hardly shrink, and xz takes them
at a few megabytes a second; wrapped, they go at the disk's speed. Format: The .xz File Format 1.2.1
(tukaani.org), sections 2 to 4, with LZMA2's uncompressed chunks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

__all__ = ["wrapped"]

_PIECE = 1 << 16  # the most that one chunk of LZMA2 can hold
_FLAGS = b"\x00\x01"  # each block ends with a CRC32
_FIRST, _NEXT, _END = b"\x01", b"\x02", b"\x00"
_BLOCK_HEADER = b"\x02\x00\x21\x01\x00\x00\x00\x00"  # 12 bytes, one filter: LZMA2, 4 kB dictionary


def wrapped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the xz file that holds these bytes; the same bytes give the same file."""
    yield b"\xfd7zXZ\x00" + _FLAGS + _crc(_FLAGS)
    yield _BLOCK_HEADER + _crc(_BLOCK_HEADER)
    packed = len(_BLOCK_HEADER) + 4
    size = check = 0
    for piece in _pieces(chunks):
        out = (_NEXT if size else _FIRST) + (len(piece) - 1).to_bytes(2, "big") + piece
        size, packed, check = size + len(piece), packed + len(out), zlib.crc32(piece, check)
        yield out
    yield _END + _padding(packed + 1) + check.to_bytes(4, "little")
    yield _index(packed + 1 + 4, size)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        held += chunk
        whole = len(held) - len(held) % _PIECE
        for start in range(0, whole, _PIECE):
            yield held[start : start + _PIECE]
        held = held[whole:]
    if held:
        yield held


def _index(unpadded: int, size: int) -> bytes:
    """List the one block, and end the file."""
    index = b"\x00" + _number(1) + _number(unpadded) + _number(size)
    index += _padding(len(index))
    index += _crc(index)
    footer = (len(index) // 4 - 1).to_bytes(4, "little") + _FLAGS
    return index + _crc(footer) + footer + b"YZ"


def _number(value: int) -> bytes:
    """Write seven bits a byte, the lowest first, all but the last marked."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _padding(size: int) -> bytes:
    return bytes(-size % 4)


def _crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")
