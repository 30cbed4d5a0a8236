"""An image goes from its layout to a registry, byte for byte; what is there is not sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.blobs import Blobs
from coalmine.images.config import MANIFEST_TYPE, Blob
from coalmine.registry.client import Manifest, Pushed, RemoteRepository
from coalmine.registry.faults import RegistryError
from coalmine.registry.source import BlobSource, file_source

__all__ = ["push_image"]

_BAD_REQUEST = 400


def push_image(
    blobs: Blobs, digest: str, remote: RemoteRepository, *, tag: str, elsewhere: Sequence[str] = ()
) -> Pushed:
    """Have an image in a repository, under a tag too.

    Its blobs go first, its manifest goes then, its tag last: what is visible is whole.

    Args:
        blobs: The layout's blobs, with the manifest among them.
        digest: The manifest's.
        remote: Where to.
        tag: Moves to the image; the image that had it stays, by its digest.
        elsewhere: Digests of blobs that need not be in the layout: they are in the repository.

    Raises:
        InputError: The registry does not allow it.
        CoalmineError: It could not be sent. A tag that was there still names what it named.
    """
    manifest = Manifest(blobs.read(digest), MANIFEST_TYPE)
    named = remote.pull_manifest(tag)
    wanted = [blob for blob in _blobs(manifest.content) if blob.digest not in elsewhere]
    if named == manifest or remote.has_manifest(digest):
        pushed = Pushed(reused_bytes=sum(blob.size for blob in wanted))
    else:
        pushed = _push(blobs, wanted, remote)
    if named != manifest:
        remote.push_manifest(manifest, tag)
    return pushed


def _push(blobs: Blobs, wanted: list[Blob], remote: RemoteRepository) -> Pushed:
    try:
        return remote.push_blobs([_source(blobs, blob) for blob in wanted])
    except RegistryError as error:
        if error.status == _BAD_REQUEST:
            _refuse_damaged(blobs, wanted)
        raise


def _source(blobs: Blobs, blob: Blob) -> BlobSource:
    try:
        return file_source(blobs.path(blob.digest), blob.digest)
    except FileNotFoundError:
        raise InputError(
            f"there is no {blobs.path(blob.digest)}", fix="build the image again"
        ) from None


def _refuse_damaged(blobs: Blobs, wanted: list[Blob]) -> None:
    """Take away what the registry was right to refuse."""
    damaged = [blob for blob in wanted if not blobs.is_sound(blob)]
    for blob in damaged:
        blobs.path(blob.digest).unlink(missing_ok=True)
    if damaged:
        raise CoalmineError(
            f"{blobs.path(damaged[0].digest)} was damaged, and was taken away",
            fix="build the image again",
        )


def _blobs(manifest: bytes) -> Iterator[Blob]:
    content = json.loads(manifest)
    for item in [content["config"], *content["layers"]]:
        yield Blob(item["digest"], item["size"])
