"""Headers of a tar from anyone, read more strictly than `tarfile` does by itself.

tarfile takes a damaged header for the end, and a name of any length into memory.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from functools import partial
from typing import Self

__all__ = ["HeaderError", "StrictHeader", "strict_header"]

_BLOCK = 512
_LONGEST = 1 << 20
_NAMES = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)


class HeaderError(Exception):
    """A header is damaged, or would take too much memory; the message is a clause."""


class StrictHeader(tarfile.TarInfo):
    """A header that says when it is the last."""

    ended = False

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header; what does not begin like one, and is not the end, is an error."""
        return cls._strictly(super().frombuf, buf, encoding, errors)

    @classmethod
    def _frombuf(
        cls, buf: bytes | bytearray, encoding: str, errors: str, *, dircheck: bool = True
    ) -> Self:
        """Do the same where tarfile asks here instead, as it does since CVE-2025-13462 was mended.

        Debian's 3.11.2-6+deb12u8 is such a Python. One that asks neither has no archive ended, and
        so takes none.
        """
        read = partial(super()._frombuf, dircheck=dircheck)  # type: ignore[misc]
        return cls._strictly(read, buf, encoding, errors)

    @classmethod
    def _strictly(
        cls, read: Callable[..., Self], buf: bytes | bytearray, encoding: str, errors: str
    ) -> Self:
        cls.ended = len(buf) == _BLOCK and not any(buf)
        try:
            header = read(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if cls.ended:
                raise
            raise HeaderError(f"it is damaged, cut off or no archive ({error})") from None
        if header.type in _NAMES and header.size > _LONGEST:
            raise HeaderError("a name in it is of absurd length")
        return header


def strict_header() -> type[StrictHeader]:
    """Make the headers of one archive, since ``ended`` is kept in the class."""

    class Header(StrictHeader):
        """A header of that archive."""

    return Header
