"""A layer that is read once: hashed, packed, kept and sent, all of it side by side.

Its bytes are those of a layer that is hashed first and packed then. What is waited for is the
packing, which has threads of its own; to read, to hash and to send fall into its shade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO

from coalmine._base.errors import CoalmineError
from coalmine.images.blobs import HashingWriter
from coalmine.images.compression import packer
from coalmine.images.config import Blob
from coalmine.images.trail import Trail
from coalmine.registry.early import EarlyUpload

__all__ = ["OnePass", "Passed"]

Begin = Callable[[Callable[[], Iterator[bytes]]], EarlyUpload]


@dataclass(frozen=True, slots=True)
class Passed:
    """A layer that was packed.

    Attributes:
        plain: Its uncompressed form.
        packed: Its packed form.
        file: The packed form; it is gone when the pass is closed.
        begun: The upload of it, which may have failed.
    """

    plain: Blob
    packed: Blob
    file: IO[bytes]
    begun: EarlyUpload


class OnePass:
    """Packs one layer and sends it meanwhile.

    Args:
        pieces: Gives the layer's uncompressed bytes, front to back.
        size: How many they are.
        kind: How to pack them: ``zstd`` or ``gzip``.
        folder: On the disk that is to hold the packed ones.
        begin: Begins to send what it is given.
        worker: Does the work. Layers are packed one after another, as one takes all cores.
    """

    def __init__(
        self,
        pieces: Callable[[], Iterator[bytes]],
        size: int,
        kind: str,
        *,
        folder: Path,
        begin: Begin,
        worker: ThreadPoolExecutor,
    ) -> None:
        self._pieces, self._size, self._kind = pieces, size, kind
        self._folder, self._begin = folder, begin
        self._unwanted = Event()
        self._trail: Trail | None = None
        self._begun: EarlyUpload | None = None
        self._future: Future[Passed] = worker.submit(self._run)

    def result(self) -> Passed:
        """Wait for the end of it.

        Raises:
            CoalmineError: The layer's files changed while they were read.
            OSError: They cannot be read, or the packed form not be written.
        """
        return self._future.result()

    def close(self) -> None:
        """Stop, and forget the packed form and what was sent of it, unless that has arrived."""
        self._unwanted.set()
        self._future.cancel()
        try:
            self._future.exception()
        except CancelledError:
            return
        if self._begun is not None:
            self._begun.abandon()
        if self._trail is not None:
            self._trail.close()

    def _run(self) -> Passed:
        trail = self._trail = Trail(self._folder)
        whole = False
        try:
            begun = self._begun = self._begin(trail.pieces)
            packed = HashingWriter(trail)
            plain = self._pack(packed)
            whole = True
        finally:
            trail.end(whole=whole)
        return Passed(plain, packed.blob, trail.file, begun)

    def _pack(self, packed: HashingWriter) -> Blob:
        through = packer(self._kind, packed, self._size)
        plain = HashingWriter(through)
        for piece in self._pieces():
            if self._unwanted.is_set():
                raise CoalmineError("the layer is not wanted any more")
            plain.write(piece)
        through.finish()
        if plain.size != self._size:  # the size has decided how it was packed
            raise CoalmineError("the build context changed while it was read", fix="build it again")
        return plain.blob
