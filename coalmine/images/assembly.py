"""One image in the making, from the plan of its layers to the digest in a registry.

It is whole in its layout, or the layout is only what is kept of it on its way to a registry: then
the base's layers, and those that do not shrink, are not copied to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from coalmine.images.attest import Statement, bill_of_materials, provenance
from coalmine.images.base import BaseImage, check_python, find_python
from coalmine.images.bases import Bases
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
from coalmine.images.dependencies import Installed, Wanted, installed, packages_layer
from coalmine.images.importing import check_import
from coalmine.images.install import Package
from coalmine.images.kinds import ImageKind
from coalmine.images.layout import OciLayout
from coalmine.images.models import EMBEDDED, embedded_base
from coalmine.images.own_layers import OwnLayers
from coalmine.images.own_tree import own_tree, unpacked_packages
from coalmine.images.plan import Layer
from coalmine.images.platforms import Platform
from coalmine.images.protocol import BuiltImage
from coalmine.images.push import push_image
from coalmine.images.reference import ImageReference
from coalmine.images.tally import Tally
from coalmine.registry.address import RemoteReference
from coalmine.registry.client import RemoteRepository
from coalmine.registry.options import RegistryOptions

__all__ = ["Assembly", "Wishes"]

_MODEL = "model "


@dataclass(frozen=True, slots=True)
class Wishes:
    """How an image is to be made.

    Attributes:
        epoch: The time that files and image get, in seconds since 1970.
        platforms: What it is for.
        compression: Of layers that shrink.
        registry: How registries are reached.
        base: The base image; empty means none.
        base_python: Path of the base's Python; empty means that the base says which it has.
        kind: What it is of.
        import_seconds: How long importing the bento's service may take; 0 means that it is not
            imported.
    """

    epoch: int | None
    platforms: tuple[Platform, ...]
    compression: str
    registry: RegistryOptions
    base: str
    base_python: str
    kind: ImageKind
    import_seconds: float = 0.0


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
        self._bases = Bases(wishes.registry, layout.blobs)
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
        bases = self._find_bases()
        with self._installed(bases) as installed:
            self._check_import(installed)
            return self._write(plan, bases, installed)

    def _write(
        self,
        plan: tuple[Layer, ...],
        bases: tuple[BaseImage | None, ...],
        installed: list[Installed | None],
    ) -> BuiltImage:
        with self._layout.writing():
            own = [self._own.make(layer) for layer in plan]
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
            digest: self._bases.source(base, layer, target.repository)
            for digest, (base, layer) in self._beneath.items()
        }
        pushed = push_image(
            self._layout.blobs,
            built.digest,
            remote,
            tag=target.tag or self._tag,
            elsewhere=elsewhere,
            statements=self._statements(str(target.repository), built.digest),
        )
        return BuiltImage(
            str(target.repository),
            built.digest,
            built.written_bytes,
            built.reused_bytes,
            pushed.sent_bytes,
        )

    def _find_bases(self) -> tuple[BaseImage | None, ...]:
        name, platforms = self._wishes.base, self._wishes.platforms
        if not name:
            return (None,) * len(platforms)
        with self._layout.writing():
            found = embedded_base(self._layout.blobs) if name == EMBEDDED else name
            return self._bases.find(found, platforms)

    @contextmanager
    def _installed(self, bases: tuple[BaseImage | None, ...]) -> Iterator[list[Installed | None]]:
        """Have each platform's packages at hand; others may build meanwhile."""
        with ExitStack() as folders:
            yield [
                self._packages_for(platform, base, folders) if base else None
                for platform, base in zip(self._wishes.platforms, bases, strict=True)
            ]

    def _packages_for(
        self, platform: Platform, base: BaseImage, folders: ExitStack
    ) -> Installed | None:
        if not self._wishes.kind.runs:
            return None
        python = find_python(base, self._wishes.base_python)
        check_python(python, self._facts.python, base.name)
        wanted = Wanted(
            self._context,
            python,
            platform,
            self._wishes.compression,
            self._wishes.epoch or 0,
            self._facts.created,
        )
        return folders.enter_context(installed(self._layout, wanted))

    def _check_import(self, installed: list[Installed | None]) -> None:
        """Import the service, if that is asked for, with the packages that it will have."""
        seconds = self._wishes.import_seconds
        if not seconds:
            return
        if not self._wishes.base:
            check_import(self._context, seconds=seconds)
            return
        own = own_tree(installed)
        with self._layout.writing():
            layer = packages_layer(self._layout, own).layer
        with unpacked_packages(self._layout, own, layer) as packages:
            check_import(self._context, seconds=seconds, packages=packages)

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
                self._bases.fetch(one, layer)
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
