"""Take an image apart again into a folder, trusting nothing that is in it.

Every blob is verified before it is read; `tree` says what may be in a layer.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic
from coalmine.images.blobs import Blobs
from coalmine.images.config import LAYER_TYPES, TITLE
from coalmine.images.plan import BENTO_PATH
from coalmine.images.reference import ImageReference, parse_reference
from coalmine.images.tree import Tree
from coalmine.registry.digest import is_digest

__all__ = ["Unpack", "unpack"]

Unpack = Callable[[str, Path], Path]
"""Takes an image reference and a folder; gives the folder of the bento within."""

_MARKER = ".coalmine-image"
_COMPRESSIONS = {media: name for name, media in LAYER_TYPES.items()}


def unpack(reference: str, into: Path) -> Path:
    """Unpack an image into a folder of its own, once.

    Args:
        reference: The image by digest: ``oci-layout:///folder@sha256:...``.
        into: The folder to make; its parents are made too. If it holds this image already, it is
            left as it is.

    Returns:
        The bento's folder: ``into/home/bentoml/bento``.

    Raises:
        InputError: The reference is wrong; the image is not there, is damaged, holds no bento or
            anything that would leave the folder; or the folder holds something else.
        CoalmineError: The folder could not be written; it is not there then.
    """
    image = parse_reference(reference)
    try:
        if not _holds(into, image):
            _replace(image, into)
    except OSError as error:
        raise CoalmineError(
            f"the image could not be unpacked to {into}: {error.strerror or error}",
            fix=f"make room there; see that {into.parent} can be written",
        ) from error
    return into / BENTO_PATH


def _holds(into: Path, image: ImageReference) -> bool:
    marker = into / _MARKER
    if marker.is_file() and marker.read_text() == image.digest:
        return True
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InputError(
            f"{into} holds something else than {image.digest}", fix="remove it or name another"
        )
    return False


def _replace(image: ImageReference, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}."))
    try:
        _extract(image, temporary)
        write_atomic(temporary / _MARKER, image.digest)
        temporary.chmod(0o755)
        try:
            temporary.rename(into)
        except OSError:  # another one may have been quicker
            if not _holds(into, image):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(image: ImageReference, into: Path) -> None:
    blobs = Blobs(image.folder / "blobs" / "sha256", into)
    tree = Tree(into)
    for digest, compression in _layers(_image_manifest(blobs, image), image):
        with blobs.open(digest) as file:
            tree.add_layer(file, compression)
    tree.make_links()
    if not (into / BENTO_PATH / "bento.yaml").is_file():
        raise InputError(f"{image} holds no bento", fix="give an image that coalmine has built")


def _image_manifest(blobs: Blobs, image: ImageReference) -> bytes:
    """Read the manifest; of an index that of its first image: the bento is the same in all."""
    content = blobs.read(image.digest)
    try:
        images = json.loads(content).get("manifests", ())
        digest = images[0]["digest"] if images else image.digest
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{image} is no image manifest") from None
    return content if digest == image.digest else blobs.read(digest)


def _layers(manifest: bytes, image: ImageReference) -> Iterator[tuple[str, str]]:
    """Give each layer's digest and compression, lowest first.

    Where layers have titles, those of a base image have none, and they and the packages stay
    packed: what runs here runs on this machine's Python.
    """
    try:
        layers = [
            (item["digest"], item["mediaType"], item.get("annotations", {}).get(TITLE, ""))
            for item in json.loads(manifest)["layers"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{image} is no image manifest") from None
    titled = any(title for _, _, title in layers)
    for digest, media_type, title in layers:
        if titled and title in {"", "packages"}:
            continue
        if media_type not in _COMPRESSIONS or not is_digest(digest):
            raise InputError(f"{image} has a layer {digest} of unknown kind {media_type}")
        yield digest, _COMPRESSIONS[media_type]
