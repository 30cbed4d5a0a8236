"""Layers in their compressed form; what was compressed once is not compressed again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.images.blobs import Blobs, HashingWriter
from coalmine.images.config import Blob, canonical
from coalmine.images.tar import Sink

__all__ = ["CompressedLayers"]

_LEVEL = 1  # model weights hardly shrink, and level 6 takes several times as long

Write = Callable[[Sink], None]


class CompressedLayers:
    """Knows which blob is the compressed form of which content.

    Args:
        blobs: Where the compressed forms are.
        notes: A folder for one small file a layer.
    """

    def __init__(self, blobs: Blobs, notes: Path) -> None:
        self._blobs = blobs
        self._notes = notes

    def add(self, write: Write) -> tuple[Blob, str, bool]:
        """Store a layer.

        Args:
            write: Writes the layer's uncompressed bytes, the same at every call. It is called once
                to know the content, and again only if that content is new.

        Returns:
            The blob, the digest of the uncompressed content, and whether it was here before.

        Raises:
            CoalmineError: The two calls did not write the same.
            OSError: It cannot be written.
        """
        plain = HashingWriter()
        write(plain)
        diff_id = plain.blob.digest
        known = self._known(diff_id)
        if known is not None:
            return known, diff_id, True
        blob = self._blobs.store(lambda out: _compress(out, write, diff_id))
        write_atomic(self._note(diff_id), canonical({"digest": blob.digest, "size": blob.size}))
        return blob, diff_id, False

    def _known(self, diff_id: str) -> Blob | None:
        try:
            noted = json.loads(self._note(diff_id).read_text())
            blob = Blob(noted["digest"], noted["size"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return blob if self._blobs.has(blob) else None

    def _note(self, diff_id: str) -> Path:
        return self._notes / f"{diff_id.removeprefix('sha256:')}.gzip{_LEVEL}.json"


class _Gzip:
    """Compresses what is written to it, with no time and no name in its header."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._zlib = zlib.compressobj(_LEVEL, wbits=31)

    def write(self, content: bytes, /) -> int:
        self._out.write(self._zlib.compress(content))
        return len(content)

    def finish(self) -> None:
        self._out.write(self._zlib.flush())


def _compress(out: Sink, write: Write, diff_id: str) -> None:
    zipped = _Gzip(out)
    through = HashingWriter(zipped)
    write(through)
    zipped.finish()
    if through.blob.digest != diff_id:
        raise CoalmineError("the build context changed while it was read", fix="build it again")
