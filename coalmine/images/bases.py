"""Base images from their registry: what describes them, and their layers only where one is missing.

Manifests and configurations are kept in a layout, by digest. A base that is named by digest is not
even asked for again.
"""

from __future__ import annotations

import json
from operator import index
from typing import IO

from coalmine._base.errors import InputError
from coalmine.images.base import BaseImage, choose_platform, read_base
from coalmine.images.blobs import Blobs
from coalmine.images.config import Blob, LayerBlob
from coalmine.images.platforms import Platform
from coalmine.images.tar import Sink
from coalmine.registry.address import RemoteReference, Repository, parse_remote
from coalmine.registry.client import Manifest, RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.source import BlobSource

__all__ = ["Bases", "full_name"]

_FIELD = "base_image"
_CONFIG_BYTES = 4 << 20  # a manifest's, too, by the specification's advice; it is read into memory
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Bases:
    """Finds base images.

    Args:
        options: How registries are reached.
        blobs: Where what describes them is kept, and where layers go that must be copied.
    """

    def __init__(self, options: RegistryOptions, blobs: Blobs) -> None:
        self._options, self._blobs = options, blobs

    def find(self, name: str, platforms: tuple[Platform, ...]) -> tuple[BaseImage, ...]:
        """Find a base image for each platform.

        Raises:
            InputError: There is no such image, or not for every platform.
            CoalmineError: Its registry cannot be asked.
        """
        reference = parse_remote(name, field=_FIELD)
        with open_repository(reference.repository, self._options) as remote:
            top = self._manifest(remote, reference)
            return tuple(self._one(remote, reference, top, platform) for platform in platforms)

    def fetch(self, base: BaseImage, layer: LayerBlob) -> None:
        """Have a base's layer among the blobs.

        Raises:
            CoalmineError: It cannot be had; nothing is left of it.
        """
        if self._blobs.has(layer.blob):
            return
        with open_repository(base.repository, self._options) as remote:
            self._blobs.store(lambda out: _pull(remote, layer.blob, out))

    def source(self, base: BaseImage, layer: LayerBlob, to: Repository) -> BlobSource:
        """Give a base's layer to a push, which reads it only if it is not there."""

        def opened() -> IO[bytes]:
            self.fetch(base, layer)
            return self._blobs.path(layer.blob.digest).open("rb")

        from_path = base.repository.path if base.repository.host == to.host else ""
        return BlobSource(layer.blob.digest, layer.blob.size, opened, mount_from=from_path)

    def _one(
        self, remote: RemoteRepository, asked: RemoteReference, top: Manifest, platform: Platform
    ) -> BaseImage:
        name, manifest = str(asked), top
        if digest := choose_platform(top.content, top.media_type, platform, name):
            manifest = self._manifest(remote, RemoteReference(asked.repository, digest=digest))
        config = self._config(remote, manifest, name)
        return read_base(asked, top.digest, manifest.content, config, on=platform)

    def _manifest(self, remote: RemoteRepository, reference: RemoteReference) -> Manifest:
        kept = self._blobs.path(reference.digest) if reference.digest else None
        if kept is not None and kept.is_file():
            content = self._blobs.read(reference.digest)
            return Manifest(content, _type_of(content))
        found = remote.pull_manifest(reference.name)
        if found is None:
            raise InputError(
                f"there is no image {reference}",
                field=_FIELD,
                fix="see that the name is right and that the user may see it",
            )
        self._blobs.add(found.content)
        return found

    def _config(self, remote: RemoteRepository, manifest: Manifest, name: str) -> bytes:
        try:
            item = json.loads(manifest.content)["config"]
            blob = Blob(item["digest"], index(item["size"]))
        except (ValueError, RecursionError, KeyError, TypeError):
            raise InputError(f"{name} is no image", field=_FIELD) from None
        if blob.size > _CONFIG_BYTES:
            raise InputError(
                f"{name} has a configuration of {blob.size} bytes, which none needs", field=_FIELD
            )
        if not self._blobs.has(blob):
            self._blobs.store(lambda out: _pull(remote, blob, out))
        return self._blobs.read(blob.digest)


def full_name(short: str) -> str:
    """Write a base image's name out as Docker understands it: ``python:3.11-slim`` is the Hub's."""
    head, slash, _ = short.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        return short
    return f"docker.io/{short}" if slash else f"docker.io/library/{short}"


def _type_of(content: bytes) -> str:
    return str(json.loads(content).get("mediaType") or _OCI_MANIFEST)


def _pull(remote: RemoteRepository, blob: Blob, out: Sink) -> None:
    remote.pull_blob(blob.digest, out, most=blob.size)
