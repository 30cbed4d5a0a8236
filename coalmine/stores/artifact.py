"""A bento, or any build context, as an artifact in an OCI registry.

One tar for each model and one for the rest, so that a model that did not change is neither sent
nor kept twice. The same content gives the same manifest, so its digest names the content. Source of
the form: OCI image specification 1.1, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine.registry.client import Manifest, RemoteRepository
from coalmine.registry.digest import is_digest
from coalmine.registry.source import BlobSource, bytes_source
from coalmine.stores.archive import extract_tar
from coalmine.stores.context import digest_of_folder, walk
from coalmine.stores.limits import Limits
from coalmine.stores.manifest import read_manifest
from coalmine.stores.pack import tar_of
from coalmine.stores.stream import measured, opened
from coalmine.stores.tree import Tree, refused

__all__ = ["ARTIFACT_TYPE", "VERSION", "Packed", "annotations_of", "pack", "pull", "push"]

ARTIFACT_TYPE = "application/vnd.coalmine.bento.v1"
VERSION = "org.opencontainers.image.version"
_CONTENT = "dev.coalmine.content"
_TITLE = "org.opencontainers.image.title"
_PART_TYPE = "application/vnd.coalmine.bento.part.v1.tar"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_MODEL_DEPTH = 3  # models/NAME/VERSION
_MOST_PARTS = 1000


@dataclass(frozen=True, slots=True)
class Packed:
    """A folder as an artifact.

    Attributes:
        manifest: Its manifest.
        blobs: What the manifest names.
    """

    manifest: Manifest
    blobs: tuple[BlobSource, ...]


def pack(folder: Path, report: Callable[[int], None] = lambda _: None) -> Packed:
    """Make a folder's artifact; its parts are read again when they are sent.

    Args:
        folder: A bento with its models.
        report: Is told of bytes as they are sent.

    Raises:
        InputError: The folder is no bento.
    """
    bento = read_manifest(folder)
    titles = _titles(folder)
    parts = {title: _part(folder, title, titles, report) for title in titles}
    config = bytes_source(b"{}")
    content = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": _descriptor(config, _EMPTY_TYPE),
        "layers": [
            _descriptor(part, _PART_TYPE) | {"annotations": {_TITLE: title}}
            for title, part in parts.items()
        ],
        "annotations": {
            _TITLE: bento.name,
            VERSION: bento.version,
            _CONTENT: f"sha256:{digest_of_folder(folder)}",
        },
    }
    raw = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return Packed(Manifest(raw, _MANIFEST_TYPE), (config, *parts.values()))


def push(remote: RemoteRepository, packed: Packed, tag: str) -> int:
    """Store an artifact under a tag; what is there is not sent.

    Returns:
        How many bytes were sent.

    Raises:
        InputError: The registry does not allow it.
        CoalmineError: It could not be stored.
    """
    sent = remote.push_blobs(packed.blobs).sent_bytes
    remote.push_manifest(packed.manifest, tag)
    return sent


def pull(remote: RemoteRepository, manifest: Manifest, into: Path, limits: Limits) -> None:
    """Write an artifact into a folder that does not exist yet, and verify what is in it.

    Raises:
        InputError: It is no such artifact, or holds what is refused.
        CoalmineError: The registry does not give it, or gives another content.
        OSError: The folder cannot be written.
    """
    tree = Tree(into, limits)
    piece = into.with_name("part")
    for digest, size in _parts(manifest, limits):
        with piece.open("wb") as file:
            remote.pull_blob(digest, _Bounded(file.write, size))
        with piece.open("rb") as file:
            extract_tar(file, tree, limits)
        piece.unlink()
    tree.finish()
    wanted, found = annotations_of(manifest).get(_CONTENT), f"sha256:{digest_of_folder(into)}"
    if wanted != found:
        raise CoalmineError(
            f"{remote.repository}@{manifest.digest} holds {found}, and should hold {wanted}",
            fix="push it again",
        )


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """Give what a manifest says of its artifact.

    Raises:
        InputError: It is no artifact that ``push`` stored.
    """
    content = _content(manifest)
    try:
        return {str(name): str(value) for name, value in content["annotations"].items()}
    except (KeyError, AttributeError):
        raise _not_ours(manifest) from None


def _titles(folder: Path) -> list[str]:
    """Name the parts: each model, and the empty string for the rest, which comes first."""
    models = {
        path
        for path, item in walk(folder)
        if _model_of(path) == path and item.is_dir() and not item.is_symlink()
    }
    return ["", *sorted(models)]


def _model_of(path: str) -> str:
    parts = PurePosixPath(path).parts
    deep = len(parts) >= _MODEL_DEPTH and parts[0] == "models"
    return "/".join(parts[:_MODEL_DEPTH]) if deep else ""


def _part(
    folder: Path, title: str, titles: Collection[str], report: Callable[[int], None]
) -> BlobSource:
    def wanted(path: str) -> bool:
        model = _model_of(path)
        return (model if model in titles else "") == title

    def make() -> Iterator[bytes]:
        return tar_of(folder, wanted)

    digest, size = measured(make())
    return BlobSource(f"sha256:{digest}", size, lambda: opened(make, report))


def _descriptor(blob: BlobSource, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def _parts(manifest: Manifest, limits: Limits) -> list[tuple[str, int]]:
    content = _content(manifest)
    try:
        layers = [(one["mediaType"], one["digest"], one["size"]) for one in content["layers"]]
    except (KeyError, TypeError):
        raise _not_ours(manifest) from None
    for media_type, digest, size in layers:
        if media_type != _PART_TYPE or not is_digest(digest) or not _is_size(size):
            raise _not_ours(manifest)
    if len(layers) > _MOST_PARTS or sum(size for _, _, size in layers) > limits.size:
        raise refused("it holds more than COALMINE_MAX_BENTO_BYTES allows")
    return [(digest, size) for _, digest, size in layers]


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _content(manifest: Manifest) -> dict[str, Any]:
    try:
        content = json.loads(manifest.content)
    except (ValueError, RecursionError):
        raise _not_ours(manifest) from None
    if not isinstance(content, dict) or content.get("artifactType") != ARTIFACT_TYPE:
        raise _not_ours(manifest)
    return content


def _not_ours(manifest: Manifest) -> InputError:
    return InputError(
        f"the manifest {manifest.digest} is no bento",
        fix="give what coalmine push, or retrieve, has put there",
    )


class _Bounded:
    """Takes as many bytes as were promised, and no more."""

    def __init__(self, write: Callable[[bytes], int], size: int) -> None:
        self._write, self._left = write, size

    def write(self, content: bytes, /) -> int:
        self._left -= len(content)
        if self._left < 0:
            raise refused("a part of it is larger than was said")
        return self._write(content)
