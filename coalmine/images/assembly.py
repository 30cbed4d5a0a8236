"""One image in the making, from the plan of its layers to the digest in a registry.

It is whole in its layout, or the layout is only what is kept of it on its way to a registry: then
the base's layers, and those that do not shrink, are not copied to it.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from coalmine._base.errors import CoalmineError
from coalmine.images.attest import Statement, bill_of_materials, provenance
from coalmine.images.base import BaseImage
from coalmine.images.beneath import Beneath
from coalmine.images.bento import BentoFacts
from coalmine.images.config import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    Below,
    Blob,
    LayerBlob,
    index_bytes,
    manifest_bytes,
    oci_annotations,
)
from coalmine.images.dependencies import Installed, packages_layer
from coalmine.images.install import Package
from coalmine.images.layout import OciLayout
from coalmine.images.own_layers import OwnLayers
from coalmine.images.plan import Layer
from coalmine.images.platforms import Platform
from coalmine.images.protocol import BuiltImage
from coalmine.images.push import push_image
from coalmine.images.reference import ImageReference
from coalmine.images.tally import Tally
from coalmine.images.wishes import Wishes
from coalmine.registry.address import RemoteReference
from coalmine.registry.client import RemoteRepository

__all__ = ["Assembly"]

_MODEL = "model "


class Assembly:
    """Makes one image. While it is open, nothing is cleaned away in its layout.

    Args:
        wishes: How.
        facts: The bento.
        context: Its folder.
        layout: Where the image goes, or through which it goes.
        remote: Where it goes then; None means that it stays in the layout.

    Raises:
        InputError: The layout's folder holds something else.
    """

    def __init__(
        self,
        wishes: Wishes,
        facts: BentoFacts,
        context: Path,
        layout: OciLayout,
        remote: RemoteRepository | None = None,
    ) -> None:
        self._wishes, self._facts, self._context = wishes, facts, context
        self._layout, self._remote, self._tally = layout, remote, Tally()
        self._under = Beneath(wishes, facts, context, layout)
        epoch = wishes.epoch
        self._created = facts.created if epoch is None else datetime.fromtimestamp(epoch, UTC)
        self._own = OwnLayers(
            layout,
            context,
            compression=wishes.compression,
            mtime=epoch or 0,
            tally=self._tally,
            remote=remote,
        )
        self._beneath: dict[str, tuple[BaseImage, LayerBlob]] = {}
        self._packages: set[Package] = set()
        self._models: list[str] = []
        self._base_facts = Below()
        self._tag = facts.version + wishes.kind.tag
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self._layout.in_use())
        self._open.callback(self._own.abandon)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def write(self, plan: tuple[Layer, ...]) -> BuiltImage:
        """Write the image to the layout.

        Raises:
            InputError: The base image does not fit, or a package cannot be installed.
            CoalmineError: A registry or the package index cannot be asked.
            OSError: It cannot be written.
        """
        self._own.begin(plan)
        bases = self._under.find_bases()
        with self._under.installed(bases) as installed:
            self._under.check_import(installed)
            return self._write(plan, bases, installed)

    def _write(
        self,
        plan: tuple[Layer, ...],
        bases: tuple[BaseImage | None, ...],
        installed: list[Installed | None],
    ) -> BuiltImage:
        with self._layout.writing():
            own = self._own.make(plan)
            titles = [layer.title for layer in plan if layer.title.startswith(_MODEL)]
            self._models = [title.removeprefix(_MODEL) for title in titles]
            images = [
                (platform.architecture, self._one(platform, base, found, own))
                for platform, base, found in zip(
                    self._wishes.platforms, bases, installed, strict=True
                )
            ]
            top = self._finish(images)
        url = ImageReference(self._layout.folder, top.digest).url
        return BuiltImage(url, top.digest, self._tally.written, self._tally.reused)

    def push(
        self, built: BuiltImage, remote: RemoteRepository, target: RemoteReference
    ) -> BuiltImage:
        """Send the image to a registry.

        Raises:
            InputError: The registry does not allow it.
            CoalmineError: It could not be sent.
        """
        elsewhere = self._own.sources | {
            digest: self._under.bases.source(base, layer, target.repository)
            for digest, (base, layer) in self._beneath.items()
        }
        ahead = self._own.sent_ahead()
        try:
            pushed = push_image(
                self._layout.blobs,
                built.digest,
                remote,
                tag=target.tag or self._tag,
                elsewhere=elsewhere,
                statements=self._statements(str(target.repository), built.digest),
            )
        except CoalmineError:
            self._own.doubt()  # the registry may have got other bytes than were noted
            raise
        return BuiltImage(
            str(target.repository),
            built.digest,
            built.written_bytes,
            built.reused_bytes,
            ahead.sent_bytes + pushed.sent_bytes,
        )

    def _one(
        self,
        platform: Platform,
        base: BaseImage | None,
        packages: Installed | None,
        own: list[LayerBlob],
    ) -> Blob:
        """Write the manifest for one platform."""
        self._base_facts = base.below if base else Below()
        below = list(base.layers) if base else []
        if base:
            self._beneath |= {layer.blob.digest: (base, layer) for layer in base.layers}
        if packages:
            below.append(self._packages_layer(packages))
        layers = [*below, *own]
        config = self._add(
            self._wishes.kind.configure(
                self._facts,
                layers,
                created=self._created,
                architecture=platform.architecture,
                below=self._base_facts,
            )
        )
        annotated = oci_annotations(self._facts, self._created, self._base_facts)
        return self._add(manifest_bytes(config, layers, annotated))

    def _packages_layer(self, packages: Installed) -> LayerBlob:
        made = packages_layer(self._layout, packages)
        self._packages |= set(made.packages)
        layer = made.layer
        self._tally.count(layer.blob, here=layer.here)
        return LayerBlob("packages", layer.blob, layer.diff_id, layer.media_type)

    def _finish(self, images: list[tuple[str, Blob]]) -> Blob:
        """Write the index, if there is to be one, and make the image visible in its folder."""
        top, media_type = images[0][1], MANIFEST_TYPE
        if len(images) > 1:
            annotated = oci_annotations(self._facts, self._created)
            top, media_type = self._add(index_bytes(images, annotated)), INDEX_TYPE
        if self._remote is None:
            for one, layer in self._beneath.values():
                self._under.bases.fetch(one, layer)
            self._layout.publish(top, tag=self._tag, media_type=media_type)
        return top

    def _statements(self, name: str, digest: str) -> list[Statement]:
        platforms = [str(platform) for platform in self._wishes.platforms]
        return [
            bill_of_materials(self._facts, self._packages, self._models, self._base_facts),
            provenance(self._facts, name, digest, self._base_facts, platforms),
        ]

    def _add(self, content: bytes) -> Blob:
        return self._tally.count_added(self._layout.blobs.add(content))
