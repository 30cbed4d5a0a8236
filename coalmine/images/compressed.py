"""Layers in their stored form; what was stored once is neither packed nor written again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.images.blobs import Blobs, HashingWriter
from coalmine.images.compression import PLAIN, packer
from coalmine.images.config import LAYER_TYPES, Blob, canonical
from coalmine.images.tar import Sink

__all__ = ["CompressedLayers", "Stored", "hashed"]

Write = Callable[[Sink], None]


@dataclass(frozen=True, slots=True)
class Stored:
    """A layer in its place.

    Attributes:
        blob: Its stored form.
        diff_id: Digest of its uncompressed form.
        media_type: What the stored form is.
        here: Whether it was there before.
    """

    blob: Blob
    diff_id: str
    media_type: str
    here: bool


class CompressedLayers:
    """Knows which blob is the stored form of which content.

    Args:
        blobs: Where the stored forms are.
        notes: A folder for one small file a layer.
    """

    def __init__(self, blobs: Blobs, notes: Path) -> None:
        self._blobs = blobs
        self._notes = notes

    def add(self, write: Write, kind: str, plain: Blob | None = None) -> Stored:
        """Store a layer.

        Args:
            write: Writes the layer's uncompressed bytes, the same at every call. It is called once
                to know the content, and again only if that content is new.
            kind: How to pack it: ``zstd``, ``gzip`` or ``none``.
            plain: What the uncompressed bytes are, if that is known.

        Raises:
            CoalmineError: The two calls did not write the same.
            OSError: It cannot be written.
        """
        plain = plain or hashed(write)
        known = self._known(plain.digest, kind)
        blob = known or self._store(write, kind, plain)
        return Stored(blob, plain.digest, LAYER_TYPES[kind], here=known is not None)

    def adopt(self, kind: str, plain: Blob, packed: Blob, file: IO[bytes]) -> Stored:
        """Store a layer that was packed elsewhere.

        Args:
            kind: How.
            plain: Its uncompressed form.
            packed: Its packed form.
            file: That form's bytes.

        Raises:
            OSError: It cannot be written.
        """
        here = self._known(plain.digest, kind) == packed
        if not here:
            self._blobs.adopt(file, packed)
            self._note(plain.digest, kind, packed)
        return Stored(packed, plain.digest, LAYER_TYPES[kind], here=here)

    def is_whole(self, stored: Stored) -> bool:
        """Tell whether a layer that was stored once is still here and sound."""
        kinds = [kind for kind, media in LAYER_TYPES.items() if media == stored.media_type]
        return any(self._known(stored.diff_id, kind) == stored.blob for kind in kinds)

    def _store(self, write: Write, kind: str, plain: Blob) -> Blob:
        if kind == PLAIN:
            blob = self._blobs.store(write)
            _same(blob.digest, plain.digest)
        else:
            blob = self._blobs.store(lambda out: _pack(out, write, kind, plain))
        self._note(plain.digest, kind, blob)
        return blob

    def _known(self, diff_id: str, kind: str) -> Blob | None:
        """Find a layer's blob; one that was touched since it was noted is read and hashed again."""
        try:
            noted = json.loads(self._place(diff_id, kind).read_text())
            blob, stamp = Blob(noted["digest"], noted["size"]), noted["stamp"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        now = self._blobs.stamp(blob)
        if now == stamp:
            os.utime(self._place(diff_id, kind))  # the clean-up goes by when it was last used
            return blob
        if now is None or not self._blobs.is_sound(blob):
            return None
        self._note(diff_id, kind, blob)
        return blob

    def _note(self, diff_id: str, kind: str, blob: Blob) -> None:
        noted = {"digest": blob.digest, "size": blob.size, "stamp": self._blobs.stamp(blob)}
        write_atomic(self._place(diff_id, kind), canonical(noted))

    def _place(self, diff_id: str, kind: str) -> Path:
        return self._notes / f"{diff_id.removeprefix('sha256:')}.{kind}.json"


def hashed(write: Write) -> Blob:
    """Say what a function writes."""
    through = HashingWriter()
    write(through)
    return through.blob


def _pack(out: Sink, write: Write, kind: str, plain: Blob) -> None:
    packed = packer(kind, out, plain.size)
    through = HashingWriter(packed)
    write(through)
    packed.finish()
    _same(through.blob.digest, plain.digest)


def _same(now: str, before: str) -> None:
    if now != before:
        raise CoalmineError("the build context changed while it was read", fix="build it again")
