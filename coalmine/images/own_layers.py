"""The layers of a bento's own files: kept in a layout, or on their way to a registry.

A layer that does not shrink is not copied on that way: it is read for its digest, and read again to
be sent; if it is news, both at once. News that shrinks is read once, and sent while it is packed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.images.compressed import Stored, hashed
from coalmine.images.compression import PLAIN, shrinks
from coalmine.images.config import LAYER_TYPES, Blob, LayerBlob
from coalmine.images.layout import OciLayout
from coalmine.images.one_pass import OnePass
from coalmine.images.plan import Layer
from coalmine.images.sampling import samples
from coalmine.images.seen import Seen
from coalmine.images.tally import Tally
from coalmine.images.tar import tar_pieces, tar_size, write_tar
from coalmine.registry.client import RemoteRepository
from coalmine.registry.content import Pushed
from coalmine.registry.early import EarlyUpload
from coalmine.registry.source import BlobSource, file_source, stream_source

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
        sources: Those that are not in the layout, or are being sent already, by digest.
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
        self._passes: dict[str, tuple[OnePass, Callable[[Blob], None] | None]] = {}
        self._worker, self._aside = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._sending: Future[Pushed] | None = None
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
            if size >= _WORTH_EARLY:
                self._begin(layer, size, self._remote)

    def _begin(self, layer: Layer, size: int, remote: RemoteRepository) -> None:
        kind = self._kind(layer)
        pieces = partial(tar_pieces, layer, self._context, mtime=self._mtime)
        if kind == PLAIN:
            self._begun[layer.title] = remote.begin_blob(size, pieces)
            return
        watch = self._seen.watch(layer, self._context, self._mtime)
        one = OnePass(
            pieces,
            size,
            kind,
            folder=self._layout.folder,
            begin=partial(remote.begin_blob, None),
            worker=self._worker,
        )
        self._passes[layer.title] = one, watch

    def abandon(self) -> None:
        """Stop sending what was begun, unless it has arrived."""
        for begun in self._begun.values():
            begun.abandon()
        for one, _ in self._passes.values():
            one.close()
        self._worker.shutdown()
        self._aside.shutdown()

    def doubt(self) -> None:
        """Have the layers read anew by the next build, whatever is noted of them."""
        for layer in self._made:
            self._seen.forget(layer)

    def make(self, plan: tuple[Layer, ...]) -> list[LayerBlob]:
        """Make the layers; the layout is held for writing.

        Raises:
            CoalmineError: A file changed while it was read.
            OSError: A file cannot be read, or a layer not be written.
        """
        self._made += plan
        # What is being packed is waited for last, and what is ready is sent meanwhile.
        ready = [layer for layer in plan if layer.title not in self._passes]
        made = {layer.title: self._make(layer) for layer in ready}
        if self._passes and self._remote is not None:
            here = [one.blob.digest for one in made.values() if one.blob.digest not in self.sources]
            self._sending = self._aside.submit(self._send, here, self._remote)
        made |= {layer.title: self._make(layer) for layer in plan if layer not in ready}
        return [made[layer.title] for layer in plan]

    def sent_ahead(self) -> Pushed:
        """Wait for what is sent while another is packed; what became of it."""
        return self._sending.result() if self._sending else Pushed()

    def _send(self, here: list[str], remote: RemoteRepository) -> Pushed:
        """Have some layers in the registry; what cannot be sent now is sent with the image."""
        with contextlib.suppress(CoalmineError, OSError):
            return remote.push_blobs(
                [file_source(self._layout.blobs.path(digest), digest) for digest in here]
            )
        return Pushed()

    def _make(self, layer: Layer) -> LayerBlob:
        kind = self._kind(layer)
        if layer.title in self._passes:
            return self._count(layer, self._passed(layer, kind))
        write = partial(write_tar, layer, self._context, mtime=self._mtime)
        plain = self._seen.find(layer, self._context, self._mtime)
        if plain is None:
            plain = self._seen.keep(layer, self._context, self._mtime, lambda: hashed(write))
        if kind == PLAIN and self._remote is not None:
            self._stream(layer, plain)
            return LayerBlob(layer.title, plain, plain.digest, LAYER_TYPES[kind])
        return self._count(layer, self._layout.layers.add(write, kind, plain))

    def _passed(self, layer: Layer, kind: str) -> Stored:
        one, watch = self._passes[layer.title]
        done = one.result()
        if watch:
            watch(done.plain)
        stored = self._layout.layers.adopt(kind, done.plain, done.packed, done.file)
        source = file_source(self._layout.blobs.path(done.packed.digest), done.packed.digest)
        self.sources[done.packed.digest] = replace(source, begun=done.begun)
        return stored

    def _count(self, layer: Layer, stored: Stored) -> LayerBlob:
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
