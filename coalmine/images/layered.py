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
from coalmine.images.reference import ImageReference, layout_folder
from coalmine.images.tar import write_tar

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
    """Builds OCI images into a layout folder.

    Attributes:
        epoch: The time that files and image get, in seconds since 1970; else files get 1970 and
            the image gets the time at which the bento was built.
        architecture: In OCI's words; models and Python code run on any.
    """

    epoch: int | None = None
    architecture: str = field(
        default_factory=lambda: _ARCHITECTURES.get(platform.machine(), platform.machine())
    )

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image of a context into the layout folder that the repository means.

        Raises:
            InputError: The context is no bento, or the repository no place for images.
            CoalmineError: The image could not be written; no part of it is visible.
        """
        folder = layout_folder(repository)
        facts, layers = read_facts(context), plan_layers(scan(context))
        try:
            return self._write(facts, layers, context, folder)
        except OSError as error:
            raise CoalmineError(
                f"the image could not be written to {folder}: {error.strerror or error}",
                fix="make room there or name another repository; no part of the image is visible",
            ) from error

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
        blob, diff_id, here = layout.layers.add(write)
        tally.count(blob, here=here)
        return LayerBlob(layer.title, blob, diff_id)

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
