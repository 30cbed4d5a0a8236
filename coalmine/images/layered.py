"""The layered builder: an image straight from the bento's files, with no Dockerfile run.

Beneath one layer a model and one for the code lie the Python packages and a base image, whose
layers are named and not touched. Without a base there are only the bento's own layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.attest import Statement, bill_of_materials, provenance
from coalmine.images.base import BaseImage, check_python, find_python
from coalmine.images.bases import Bases, full_name
from coalmine.images.bento import BentoFacts, read_facts, scan
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
from coalmine.images.dependencies import dependencies
from coalmine.images.install import Package
from coalmine.images.kinds import BENTO, ImageKind
from coalmine.images.layout import OciLayout
from coalmine.images.models import EMBEDDED, embedded_base
from coalmine.images.plan import Layer
from coalmine.images.platforms import Platform, own_platform
from coalmine.images.protocol import BuiltImage
from coalmine.images.push import push_image
from coalmine.images.reference import ImageReference, parse_target
from coalmine.images.secrets import refuse_secrets
from coalmine.images.tally import Tally
from coalmine.images.tar import tar_pieces, write_tar
from coalmine.registry.address import RemoteReference
from coalmine.registry.client import open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.source import BlobSource, stream_source

__all__ = ["NO_BASE", "LayeredBuilder"]

_MODEL = "model "
NO_BASE = "none"
"""The name of no base image."""


@dataclass(frozen=True, slots=True)
class LayeredBuilder:
    """Builds OCI images into a layout folder, and from there into a registry.

    Attributes:
        epoch: The time that files and image get, in seconds since 1970; else files get 1970 and
            the image gets the time at which the bento was built.
        platforms: What the image is for; several make an index.
        compression: Of layers that shrink: ``zstd`` or ``gzip``.
        cache: The layout that an image goes through on its way to a registry. What is in it is
            not built again.
        registry: How registries are reached.
        base: The base image, or ``none``. Empty means none for an image that goes to a folder, to
            be run by this Python, and else the one that the bento names.
        base_python: Path of the base's Python; empty means that the base says which it has.
        kind: What the image is of. One of models alone has a small base of its own by default.
    """

    epoch: int | None = None
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (own_platform(),))
    compression: str = "zstd"
    cache: Path = Path(".coalmine/images")
    registry: RegistryOptions = field(default_factory=RegistryOptions)
    base: str = ""
    base_python: str = ""
    kind: ImageKind = BENTO

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image of a context into the place that the repository means.

        Args:
            context: The bento.
            repository: A folder, or ``host/path`` of a registry; a tag may be added to that, else
                the bento's version is the tag.

        Raises:
            InputError: The context is no bento, or needs more than layers; the base image does
                not fit; the repository is no place for images.
            CoalmineError: The image could not be written; no part of it is visible.
        """
        target = parse_target(repository)
        folder = target if isinstance(target, Path) else self.cache
        facts, entries = read_facts(context), scan(context)
        refuse_secrets(entries, context)
        base = self._base(facts, target)
        try:
            whole = isinstance(target, Path)
            image = _Image(self, facts, context, OciLayout(folder, durable=whole), whole=whole)
            built = image.write(self.kind.plan(entries), base)
            return built if isinstance(target, Path) else image.push(built, target)
        except OSError as error:
            raise CoalmineError(
                f"the image could not be written to {folder}: {error.strerror or error}",
                fix="make room there or name another repository; no part of the image is visible",
            ) from error

    def _base(self, facts: BentoFacts, target: Path | RemoteReference) -> str:
        """Choose the base image; empty means none."""
        if self.base == NO_BASE:
            return ""
        if not self.kind.runs:
            return self.base or EMBEDDED
        if not self.base and isinstance(target, Path):
            return ""
        if facts.needs:
            raise InputError(
                f"the bento needs more than layers: {'; '.join(facts.needs)}",
                field="builder",
                fix="build the image with --builder buildah",
            )
        if not self.base and not facts.base_image:
            raise InputError(
                f"{facts.name}:{facts.version} names no base image",
                field="base_image",
                fix=f"name one, for example docker.io/library/python:{facts.python or '3.11'}-slim",
            )
        return self.base or full_name(facts.base_image)


class _Image:
    """One image in the making.

    It is whole in its layout, or the layout is only what is kept of it on its way to a registry:
    then the base's layers, and those that do not shrink, are not copied to it.
    """

    def __init__(
        self,
        builder: LayeredBuilder,
        facts: BentoFacts,
        context: Path,
        layout: OciLayout,
        *,
        whole: bool,
    ) -> None:
        self._whole = whole
        self._builder, self._facts, self._context = builder, facts, context
        self._layout, self._tally = layout, Tally()
        self._bases = Bases(builder.registry, layout.blobs)
        epoch = builder.epoch
        self._created = facts.created if epoch is None else datetime.fromtimestamp(epoch, UTC)
        self._beneath: dict[str, tuple[BaseImage, LayerBlob]] = {}
        self._streamed: dict[str, BlobSource] = {}
        self._packages: set[Package] = set()
        self._models: list[str] = []
        self._base_facts = Below()
        self._tag = facts.version + builder.kind.tag

    def write(self, plan: tuple[Layer, ...], base: str) -> BuiltImage:
        """Write the image to the layout."""
        platforms = self._builder.platforms
        with self._layout.writing():
            name = embedded_base(self._layout.blobs) if base == EMBEDDED else base
            found = self._bases.find(name, platforms) if name else (None,) * len(platforms)
            own = [self._layer(layer) for layer in plan]
            titles = [layer.title for layer in plan if layer.title.startswith(_MODEL)]
            self._models = [title.removeprefix(_MODEL) for title in titles]
            images = [
                (platform.architecture, self._one(platform, one, own))
                for platform, one in zip(platforms, found, strict=True)
            ]
            top, media_type = images[0][1], MANIFEST_TYPE
            if len(images) > 1:
                annotated = oci_annotations(self._facts, self._created)
                top, media_type = self._add(index_bytes(images, annotated)), INDEX_TYPE
            if self._whole:
                for one, layer in self._beneath.values():
                    self._bases.fetch(one, layer)
                self._layout.publish(top, tag=self._tag, media_type=media_type)
        url = ImageReference(self._layout.folder, top.digest).url
        return BuiltImage(url, top.digest, self._tally.written, self._tally.reused)

    def push(self, built: BuiltImage, target: RemoteReference) -> BuiltImage:
        """Send the image to a registry."""
        tag = target.tag or self._tag
        elsewhere = self._streamed | {
            digest: self._bases.source(base, layer, target.repository)
            for digest, (base, layer) in self._beneath.items()
        }
        with open_repository(target.repository, self._builder.registry) as remote:
            blobs = self._layout.blobs
            pushed = push_image(
                blobs,
                built.digest,
                remote,
                tag=tag,
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

    def _statements(self, name: str, digest: str) -> list[Statement]:
        platforms = [str(platform) for platform in self._builder.platforms]
        return [
            bill_of_materials(self._facts, self._packages, self._models, self._base_facts),
            provenance(self._facts, name, digest, self._base_facts, platforms),
        ]

    def _one(self, platform: Platform, base: BaseImage | None, own: list[LayerBlob]) -> Blob:
        """Write the manifest for one platform."""
        below = base.below if base else Below()
        self._base_facts = below
        layers = [*(self._below(platform, base) if base else ()), *own]
        config = self._add(
            self._builder.kind.configure(
                self._facts,
                layers,
                created=self._created,
                architecture=platform.architecture,
                below=below,
            )
        )
        annotated = oci_annotations(self._facts, self._created, below)
        return self._add(manifest_bytes(config, layers, annotated))

    def _below(self, platform: Platform, base: BaseImage) -> list[LayerBlob]:
        """Give the base's layers and the packages'."""
        self._beneath |= {layer.blob.digest: (base, layer) for layer in base.layers}
        if not self._builder.kind.runs:
            return list(base.layers)
        python = find_python(base, self._builder.base_python)
        check_python(python, self._facts.python, base.name)
        made = dependencies(
            self._layout,
            self._context,
            python,
            platform,
            compression=self._builder.compression,
            mtime=self._builder.epoch or 0,
        )
        if made is None:
            return list(base.layers)
        self._packages |= set(made.packages)
        self._tally.count(made.layer.blob, here=made.layer.here)
        layer = made.layer
        return [*base.layers, LayerBlob("packages", layer.blob, layer.diff_id, layer.media_type)]

    def _layer(self, layer: Layer) -> LayerBlob:
        mtime = self._builder.epoch or 0
        write = partial(write_tar, layer, self._context, mtime=mtime)
        stored = self._layout.layers.add(write, self._builder.compression, keep_plain=self._whole)
        if stored.kept:
            self._tally.count(stored.blob, here=stored.here)
        else:
            stream = partial(tar_pieces, layer, self._context, mtime=mtime)
            digest, size = stored.blob.digest, stored.blob.size
            self._streamed[digest] = stream_source(digest, size, stream)
        return LayerBlob(layer.title, stored.blob, stored.diff_id, stored.media_type)

    def _add(self, content: bytes) -> Blob:
        return self._tally.count_added(self._layout.blobs.add(content))
