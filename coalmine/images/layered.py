"""The layered builder: an image straight from the bento's files, with no Dockerfile run.

It writes one layer a model and one for the code. It adds no base image and installs nothing yet;
the layers for both will come before these.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.bento import BentoFacts, read_facts, scan
from coalmine.images.config import Blob, LayerBlob, config_bytes, manifest_bytes, oci_annotations
from coalmine.images.layout import OciLayout
from coalmine.images.plan import Layer, plan_layers
from coalmine.images.protocol import BuiltImage
from coalmine.images.push import push_image
from coalmine.images.reference import ImageReference, parse_target
from coalmine.images.tar import write_tar
from coalmine.registry.address import RemoteReference
from coalmine.registry.client import open_repository
from coalmine.registry.options import RegistryOptions

__all__ = ["LayeredBuilder", "source_date"]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def source_date(value: str) -> int | None:
    """Read SOURCE_DATE_EPOCH: whole seconds since 1970, or None if it is not set.

    Raises:
        InputError: It is set to something else.
    """
    if not value:
        return None
    if not value.isascii() or not value.isdigit():
        raise InputError(
            f"{value!r} is no whole number of seconds since 1970", field="SOURCE_DATE_EPOCH"
        )
    return int(value)


@dataclass(frozen=True, slots=True)
class LayeredBuilder:
    """Builds OCI images into a layout folder, and from there into a registry.

    Attributes:
        epoch: The time that files and image get, in seconds since 1970; else files get 1970 and
            the image gets the time at which the bento was built.
        architecture: In OCI's words; models and Python code run on any.
        compression: Of layers that shrink: ``zstd`` or ``gzip``.
        cache: The layout that an image goes through on its way to a registry. What is in it is
            not built again.
        registry: How registries are reached.
    """

    epoch: int | None = None
    architecture: str = field(
        default_factory=lambda: _ARCHITECTURES.get(platform.machine(), platform.machine())
    )
    compression: str = "zstd"
    cache: Path = Path(".coalmine/images")
    registry: RegistryOptions = field(default_factory=RegistryOptions)

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image of a context into the place that the repository means.

        Args:
            context: The bento.
            repository: A folder, or ``host/path`` of a registry; a tag may be added to that, else
                the bento's version is the tag.

        Raises:
            InputError: The context is no bento, or the repository no place for images.
            CoalmineError: The image could not be written; no part of it is visible.
        """
        target = parse_target(repository)
        folder = target if isinstance(target, Path) else self.cache
        facts, layers = read_facts(context), plan_layers(scan(context))
        try:
            built = self._write(facts, layers, context, folder)
        except OSError as error:
            raise CoalmineError(
                f"the image could not be written to {folder}: {error.strerror or error}",
                fix="make room there or name another repository; no part of the image is visible",
            ) from error
        return built if isinstance(target, Path) else self._push(built, target, facts)

    def _push(self, built: BuiltImage, target: RemoteReference, facts: BentoFacts) -> BuiltImage:
        tag = target.tag or facts.version
        with open_repository(target.repository, self.registry) as remote:
            blobs = OciLayout(self.cache).blobs
            pushed = push_image(blobs, built.digest, remote, tag=tag)
        return BuiltImage(
            str(target.repository),
            built.digest,
            built.written_bytes,
            built.reused_bytes,
            pushed.sent_bytes,
        )

    def _write(
        self, facts: BentoFacts, layers: Iterable[Layer], context: Path, folder: Path
    ) -> BuiltImage:
        layout, tally = OciLayout(folder), _Tally()
        with layout.writing():
            stored = [self._layer(layout, layer, context, tally) for layer in layers]
            manifest = self._manifest(layout, facts, stored, tally)
            layout.publish(manifest, tag=facts.version)
        url = ImageReference(folder, manifest.digest).url
        return BuiltImage(url, manifest.digest, tally.written, tally.reused)

    def _layer(self, layout: OciLayout, layer: Layer, context: Path, tally: _Tally) -> LayerBlob:
        write = partial(write_tar, layer, context, mtime=self.epoch or 0)
        stored = layout.layers.add(write, self.compression)
        tally.count(stored.blob, here=stored.here)
        return LayerBlob(layer.title, stored.blob, stored.diff_id, stored.media_type)

    def _manifest(
        self, layout: OciLayout, facts: BentoFacts, layers: list[LayerBlob], tally: _Tally
    ) -> Blob:
        created = facts.created if self.epoch is None else datetime.fromtimestamp(self.epoch, UTC)
        config = tally.count_added(
            layout.blobs.add(
                config_bytes(facts, layers, created=created, architecture=self.architecture)
            )
        )
        return tally.count_added(
            layout.blobs.add(manifest_bytes(config, layers, oci_annotations(facts, created)))
        )


@dataclass(slots=True)
class _Tally:
    """How many bytes were stored anew, and how many were there."""

    written: int = 0
    reused: int = 0

    def count(self, blob: Blob, *, here: bool) -> None:
        if here:
            self.reused += blob.size
        else:
            self.written += blob.size

    def count_added(self, added: tuple[Blob, bool]) -> Blob:
        blob, here = added
        self.count(blob, here=here)
        return blob
