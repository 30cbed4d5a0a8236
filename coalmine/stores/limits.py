"""How much an archive may hold. Whoever writes one is not trusted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from coalmine._base.errors import InputError

__all__ = ["Limits", "read_limits"]

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused, because it would fill a disk or a memory.

    Attributes:
        size: Bytes that an archive may hold, unpacked.
        entries: Files, folders and links that it may hold.
        ratio: How many times its packed size it may hold, once it is above ``free``. Real bentos
            stay below 10; deflate reaches 1032, xz about 7000.
        free: Bytes, unpacked, below which the ratio does not count.
        memory: Bytes that unpacking xz may take; its highest preset takes 65 MB.
    """

    size: int = 50 * _GIB
    entries: int = 200_000
    ratio: int = 200
    free: int = 256 << 20
    memory: int = 128 << 20


def read_limits(environ: Mapping[str, str] = os.environ) -> Limits:
    """Take the limits that are set in the environment, ``COALMINE_MAX_BENTO_BYTES``.

    Raises:
        InputError: It is no positive whole number.
    """
    text = environ.get("COALMINE_MAX_BENTO_BYTES", "")
    if not text:
        return Limits()
    if not re.fullmatch(r"0*[1-9][0-9]{0,18}", text):
        raise InputError(
            f"{text!r} is no number of bytes",
            field="COALMINE_MAX_BENTO_BYTES",
            fix="give a whole number, for example 10000000000",
        )
    return Limits(size=int(text))
