"""An image goes from its layout to a registry, byte for byte; what is there is not sent."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.attest import EMPTY, Statement, referrer_bytes
from coalmine.images.blobs import Blobs
from coalmine.images.config import MANIFEST_TYPE, Blob
from coalmine.registry.client import Manifest, Pushed, RemoteRepository
from coalmine.registry.faults import RegistryError
from coalmine.registry.referrers import push_referrers
from coalmine.registry.source import BlobSource, bytes_source, file_source

__all__ = ["push_image"]

_BAD_REQUEST = 400


def push_image(
    blobs: Blobs,
    digest: str,
    remote: RemoteRepository,
    *,
    tag: str,
    elsewhere: Mapping[str, BlobSource] = MappingProxyType({}),
    statements: Sequence[Statement] = (),
) -> Pushed:
    """Have an image in a repository, under a tag too, and what is said of it beside it.

    Its blobs go first, its manifests go then, its tag last: what is visible is whole. What is said
    of it goes along with its blobs, in the shade of the largest; a registry takes what refers to an
    image that is still to come.

    Where a layer is on its way already, as nobody is likely to have it, the registry is not asked
    for what can be there only with that layer: the image, its configuration, what is said of it.

    Args:
        blobs: The layout's blobs, with the image's manifest or index among them.
        digest: The manifest's or index'.
        remote: Where to.
        tag: Moves to the image; the image that had it stays, by its digest.
        elsewhere: Where blobs come from that need not be in the layout, by digest.
        statements: Become OCI referrers of the image; what is there is not sent.

    Raises:
        InputError: The registry does not allow it.
        CoalmineError: It could not be sent. A tag that was there still names what it named.
    """
    top = _manifest(blobs, digest)
    images = [_manifest(blobs, item["digest"]) for item in _parts(top).get("manifests", ())]
    wanted = {blob.digest: blob for image in images or [top] for blob in _blobs(image)}
    carriers = [_carrier(one, top) for one in statements]
    news = any(source.begun for source in elsewhere.values())
    named = None if news else remote.pull_manifest(tag)
    if not news and (named == top or remote.has_manifest(digest)):
        pushed = Pushed(reused_bytes=sum(blob.size for blob in wanted.values()))
        carriers = [one for one in carriers if not remote.has_manifest(one.digest)]
        pushed += _say(remote, statements, carriers, digest)
    else:
        with ThreadPoolExecutor(1) as aside:
            said = aside.submit(_say, remote, statements, carriers, digest, news=news)
            configs = {str(_parts(image)["config"]["digest"]) for image in images or [top]}
            fresh = configs if news else ()
            pushed = _push(blobs, list(wanted.values()), remote, elsewhere, fresh=fresh)
            pushed += said.result()
        for image in images:
            remote.push_manifest(image)
    if named != top:
        remote.push_manifest(top, tag)
    return pushed


def _say(
    remote: RemoteRepository,
    statements: Sequence[Statement],
    carriers: Sequence[Manifest],
    digest: str,
    *,
    news: bool = False,
) -> Pushed:
    if not carriers:
        return Pushed()
    said = [replace(bytes_source(statement.content), news=news) for statement in statements]
    pushed = remote.push_blobs([bytes_source(EMPTY), *said])
    push_referrers(remote, carriers, digest)
    return pushed


def _carrier(statement: Statement, top: Manifest) -> Manifest:
    subject = Blob(top.digest, len(top.content))
    return Manifest(referrer_bytes(statement, subject, top.media_type), MANIFEST_TYPE)


def _manifest(blobs: Blobs, digest: str) -> Manifest:
    content = blobs.read(digest)
    return Manifest(content, str(json.loads(content)["mediaType"]))


def _push(
    blobs: Blobs,
    wanted: list[Blob],
    remote: RemoteRepository,
    elsewhere: Mapping[str, BlobSource],
    *,
    fresh: Container[str],
) -> Pushed:
    own = [blob for blob in wanted if blob.digest not in elsewhere]
    others = [elsewhere[blob.digest] for blob in wanted if blob.digest in elsewhere]
    own_sources = [replace(_source(blobs, blob), news=blob.digest in fresh) for blob in own]
    try:
        return remote.push_blobs([*others, *own_sources])
    except RegistryError as error:
        if error.status == _BAD_REQUEST:
            _refuse_damaged(blobs, [blob for blob in wanted if blobs.has(blob)])
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


def _blobs(manifest: Manifest) -> Iterator[Blob]:
    content = _parts(manifest)
    for item in [content["config"], *content["layers"]]:
        yield Blob(item["digest"], item["size"])


def _parts(manifest: Manifest) -> dict[str, Any]:
    parts: dict[str, Any] = json.loads(manifest.content)
    return parts
