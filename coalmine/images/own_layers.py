"""The layers of a bento's own files: kept in a layout, or on their way to a registry.

A layer that does not shrink is not copied on that way: it is read for its digest, and read again to
be sent. If it is news, both at once.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from coalmine.images.compressed import hashed
from coalmine.images.compression import PLAIN, shrinks
from coalmine.images.config import LAYER_TYPES, Blob, LayerBlob
from coalmine.images.layout import OciLayout
from coalmine.images.plan import Layer
from coalmine.images.sampling import samples
from coalmine.images.seen import Seen
from coalmine.images.tally import Tally
from coalmine.images.tar import tar_pieces, tar_size, write_tar
from coalmine.registry.client import RemoteRepository
from coalmine.registry.early import EarlyUpload
from coalmine.registry.source import BlobSource, stream_source

__all__ = ["OwnLayers"]

_MOST_EARLY = 4
_WORTH_EARLY = 4 << 20


class OwnLayers:
    """Makes a bento's layers.

    Args:
        layout: Where they go, or what is kept of them.
        context: The bento.
        compression: How to pack what shrinks.
        mtime: Every entry's time, in seconds since 1970.
        tally: Counts what is stored.
        remote: Where they are sent; None means that they stay in the layout.

    Attributes:
        sources: Those that are not in the layout, by digest.
    """

    def __init__(
        self,
        layout: OciLayout,
        context: Path,
        *,
        compression: str,
        mtime: int,
        tally: Tally,
        remote: RemoteRepository | None,
    ) -> None:
        self.sources: dict[str, BlobSource] = {}
        self._layout, self._context, self._tally = layout, context, tally
        self._compression, self._mtime, self._remote = compression, mtime, remote
        self._seen = Seen(layout.notes / "seen", time.time)
        self._begun: dict[str, EarlyUpload] = {}
        self._kinds: dict[str, str] = {}
        self._made: list[Layer] = []

    def begin(self, plan: tuple[Layer, ...]) -> None:
        """Begin to send what nobody is likely to have.

        Raises:
            OSError: A file cannot be read.
        """
        if self._remote is None:
            return
        news = [layer for layer in plan if self._seen.is_news(layer)]
        for layer in news[:_MOST_EARLY]:
            size = tar_size(layer, self._context)
            if size >= _WORTH_EARLY and self._kind(layer) == PLAIN:
                pieces = partial(tar_pieces, layer, self._context, mtime=self._mtime)
                self._begun[layer.title] = self._remote.begin_blob(size, pieces)

    def abandon(self) -> None:
        """Stop sending what was begun, unless it has arrived."""
        for begun in self._begun.values():
            begun.abandon()

    def doubt(self) -> None:
        """Have the layers read anew by the next build, whatever is noted of them."""
        for layer in self._made:
            self._seen.forget(layer)

    def make(self, layer: Layer) -> LayerBlob:
        """Make a layer; the layout is held for writing.

        Raises:
            CoalmineError: A file changed while it was read.
            OSError: A file cannot be read, or the layer not be written.
        """
        self._made.append(layer)
        write = partial(write_tar, layer, self._context, mtime=self._mtime)
        plain = self._seen.find(layer, self._context, self._mtime)
        if plain is None:
            plain = self._seen.keep(layer, self._context, self._mtime, lambda: hashed(write))
        kind = self._kind(layer)
        if kind == PLAIN and self._remote is not None:
            self._stream(layer, plain)
            return LayerBlob(layer.title, plain, plain.digest, LAYER_TYPES[kind])
        stored = self._layout.layers.add(write, kind, plain)
        self._tally.count(stored.blob, here=stored.here)
        return LayerBlob(layer.title, stored.blob, stored.diff_id, stored.media_type)

    def _stream(self, layer: Layer, plain: Blob) -> None:
        stream = partial(tar_pieces, layer, self._context, mtime=self._mtime)
        begun = self._begun.get(layer.title)
        self.sources[plain.digest] = stream_source(plain.digest, plain.size, stream, begun)

    def _kind(self, layer: Layer) -> str:
        if layer.title not in self._kinds:
            found = samples(layer, self._context)
            self._kinds[layer.title] = self._compression if shrinks(found) else PLAIN
        return self._kinds[layer.title]
