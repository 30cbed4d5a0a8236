"""What callers may still send, kept for one process or for several that count together."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from coalmine._base.errors import CoalmineError

__all__ = ["Bucket", "Buckets", "OwnBuckets", "SharedBuckets"]

Bucket = tuple[float, float]
"""The events that may still be sent, and the moment at which that was so."""
SLOT = struct.Struct("<16sdd")
SLOTS = 4096
NEAR = 8
"""A caller's bucket is in one of so many slots; of other callers there, the longest silent goes."""
EMPTY = bytes(16)


class Buckets(Protocol):
    """Buckets by the names of callers."""

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Keep others away until the end of the block."""

    def get(self, caller: str, full: Bucket) -> Bucket:
        """Give a caller's bucket; a full one if there is none."""

    def put(self, caller: str, bucket: Bucket) -> None:
        """Keep a caller's bucket."""


class OwnBuckets:
    """Buckets of one process, which has one thread that asks."""

    def __init__(self) -> None:
        self._kept: dict[str, Bucket] = {}

    def held(self) -> contextlib.AbstractContextManager[None]:
        """See `Buckets`."""
        return contextlib.nullcontext()

    def get(self, caller: str, full: Bucket) -> Bucket:
        """See `Buckets`."""
        return self._kept.get(caller, full)

    def put(self, caller: str, bucket: Bucket) -> None:
        """See `Buckets`."""
        self._kept[caller] = bucket


class SharedBuckets:
    """Buckets of several processes, each with one thread that asks, in memory that they share.

    Their moments have to be of one clock: that of Linux which only grows is the machine's.

    Args:
        path: The file that they share; opened, and made, when it is first needed.

    Raises:
        CoalmineError: By `held`: the file cannot be made, or has no room on its disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._memory: mmap.mmap | None = None
        self._file = -1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """See `Buckets`."""
        self._open()
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def get(self, caller: str, full: Bucket) -> Bucket:
        """See `Buckets`."""
        digest, place = self._find(caller)
        found, left, at = SLOT.unpack_from(self._open(), place)
        return (left, at) if found == digest else full

    def put(self, caller: str, bucket: Bucket) -> None:
        """See `Buckets`."""
        digest, place = self._find(caller)
        SLOT.pack_into(self._open(), place, digest, *bucket)

    def _find(self, caller: str) -> tuple[bytes, int]:
        """Find the slot that a caller has or may have."""
        memory = self._open()
        digest = hashlib.sha256(caller.encode()).digest()[:16]
        first = int.from_bytes(digest[:4]) % SLOTS
        places = [(first + near) % SLOTS * SLOT.size for near in range(NEAR)]
        slots = {place: SLOT.unpack_from(memory, place) for place in places}
        for place, slot in slots.items():
            if slot[0] in {digest, EMPTY}:
                return digest, place
        return digest, min(places, key=lambda place: float(slots[place][2]))

    def _open(self) -> mmap.mmap:
        if self._memory is None:
            try:
                self._file, self._memory = _map(self._path, SLOTS * SLOT.size)
            except OSError as error:
                raise CoalmineError(
                    f"what callers send cannot be counted in {self._path}: {error.strerror}",
                    fix="see that the state folder can be written and its disk is not full",
                ) from None
        return self._memory


def _map(path: Path, size: int) -> tuple[int, mmap.mmap]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Who writes into a hole of a file in memory is killed (SIGBUS) once the disk is full.
        os.posix_fallocate(file, 0, size)
        return file, mmap.mmap(file, size)
    except OSError:
        os.close(file)
        raise
