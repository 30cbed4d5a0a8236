"""An image's bento from a registry into a layout for a while; the rest of it stays there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.images.blobs import Blobs
from coalmine.images.config import Blob
from coalmine.images.contents import bento_layers, first_image
from coalmine.images.reference import ImageReference
from coalmine.images.tar import Sink
from coalmine.registry.address import RemoteReference
from coalmine.registry.client import RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions

__all__ = ["pulled"]


@contextmanager
def pulled(
    image: RemoteReference, near: Path, options: RegistryOptions
) -> Iterator[ImageReference]:
    """Have an image's manifest and the bento's layers in a folder until the end of the block.

    Args:
        image: The image, by digest.
        near: Where the folder is made.
        options: How the registry is reached.

    Raises:
        InputError: It is not there, holds something else, or the registry does not allow it.
        CoalmineError: It could not be read.
    """
    with tempfile.TemporaryDirectory(dir=near, prefix=".pull.") as name:
        here = ImageReference(Path(name), image.digest)
        blobs = Blobs(here.folder / "blobs" / "sha256", here.folder / "tmp", durable=False)
        for folder in ("tmp", "blobs/sha256"):
            (here.folder / folder).mkdir(parents=True)
        with open_repository(image.repository, options) as remote:
            manifest = _manifest(remote, image.digest, blobs)
            if child := first_image(manifest, str(image)):
                manifest = _manifest(remote, child, blobs)
            for layer in dict(bento_layers(manifest, str(image))):
                blobs.store(partial(_pull, remote, layer))
        yield here


def _pull(remote: RemoteRepository, layer: Blob, out: Sink) -> None:
    remote.pull_blob(layer.digest, out, most=layer.size)


def _manifest(remote: RemoteRepository, digest: str, blobs: Blobs) -> bytes:
    found = remote.pull_manifest(digest)
    if found is None:
        raise InputError(
            f"there is no image {remote.repository}@{digest}",
            field="image",
            fix="see that the name is right and that the user may see it",
        )
    blobs.add(found.content)
    return found.content
