"""Models that were made a layer of before: what it was, so that they are not read again for that.

A note is believed as long as no file of the model was touched; the time of an inode's change cannot
be set. Of a model whose name is known here and whose version is not, nobody is likely to have the
layer: it can be sent before it is hashed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

from coalmine._base.files import write_atomic
from coalmine.images.config import Blob, canonical
from coalmine.images.plan import Layer
from coalmine.registry.digest import digest_of

__all__ = ["Seen"]

_MODEL = "model "
_SETTLED_SECONDS = 2.0  # what was touched later may be touched again in the same tick of its clock


class Seen:
    """Notes about models, a small file each.

    Args:
        folder: Where they are.
        clock: Seconds since 1970, as the disk has them.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder, clock

    def is_news(self, layer: Layer) -> bool:
        """Tell whether it is a new version of a model that was seen before."""
        note = self._note(layer)
        return note is not None and not note.exists() and note.parent.is_dir()

    def find(self, layer: Layer, context: Path, mtime: int) -> Blob | None:
        """Give digest and size of a layer's uncompressed form, if nothing of it was touched."""
        note = self._note(layer)
        if note is None:
            return None
        try:
            noted = json.loads(note.read_text())
            blob = Blob(noted["digest"], noted["size"])
            same = noted["files"] == _state(layer, context, mtime)[0]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not same:
            return None
        os.utime(note)  # the clean-up goes by when it was last used
        return blob

    def keep(self, layer: Layer, context: Path, mtime: int, read: Callable[[], Blob]) -> Blob:
        """Note what a layer is, unless it was touched a moment ago or meanwhile."""
        watch = self.watch(layer, context, mtime)
        blob = read()
        if watch:
            watch(blob)
        return blob

    def watch(self, layer: Layer, context: Path, mtime: int) -> Callable[[Blob], None] | None:
        """Look at a layer's files before they are read; what comes back notes what they are.

        None comes back for a layer of which nothing is noted.
        """
        note = self._note(layer)
        if note is None:
            return None
        before, touched = _state(layer, context, mtime)
        settled = touched + _SETTLED_SECONDS < self._clock()

        def keep(blob: Blob) -> None:
            files = before if settled and _state(layer, context, mtime)[0] == before else ""
            about = {"digest": blob.digest, "size": blob.size, "files": files}
            write_atomic(note, canonical(about))

        return keep

    def forget(self, layer: Layer) -> None:
        """Drop what is noted of a layer, so that it is read anew."""
        if note := self._note(layer):
            note.unlink(missing_ok=True)

    def _note(self, layer: Layer) -> Path | None:
        name, _, version = layer.title.removeprefix(_MODEL).partition(":")
        if not layer.title.startswith(_MODEL):
            return None
        return self._folder / _short(name) / f"{_short(version)}.{_short(layer.root)}.json"


def _state(layer: Layer, context: Path, mtime: int) -> tuple[str, float]:
    """Give the state of a layer's files as a digest, and when one of them was touched last."""
    found = [layer.file_in(context, entry).lstat() for entry in layer.entries]
    facts = [
        [*astuple(entry), seen.st_dev, seen.st_ino, seen.st_size, seen.st_ctime_ns]
        for entry, seen in zip(layer.entries, found, strict=True)
    ]
    about = [layer.root, layer.below, layer.owner, mtime, facts]
    return digest_of(canonical(about)), max((seen.st_ctime for seen in found), default=0.0)


def _short(text: str) -> str:
    return digest_of(text.encode()).removeprefix("sha256:")[:20]
