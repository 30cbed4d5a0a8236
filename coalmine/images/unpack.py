"""Take an image apart again into a folder, trusting nothing that is in it.

Every blob is verified before it is read; `tree` says what may be in a layer.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic
from coalmine.images.blobs import Blobs
from coalmine.images.contents import bento_layers, first_image
from coalmine.images.plan import BENTO_PATH
from coalmine.images.pull import pulled
from coalmine.images.reference import ImageReference, is_folder, parse_reference
from coalmine.images.tree import Tree
from coalmine.registry.address import RemoteReference, parse_remote
from coalmine.registry.digest import is_digest
from coalmine.registry.options import RegistryOptions

__all__ = ["Unpack", "unpack"]

Unpack = Callable[[str, Path], Path]
"""Takes an image reference and a folder; gives the folder of the bento within."""

_MARKER = ".coalmine-image"
_AS_USUAL = RegistryOptions()


def unpack(reference: str, into: Path, *, registry: RegistryOptions = _AS_USUAL) -> Path:
    """Unpack an image into a folder of its own, once.

    Args:
        reference: The image by digest: ``oci-layout:///folder@sha256:...``, or in a registry.
        into: The folder to make; its parents are made too. If it holds this image already, it is
            left as it is.
        registry: How registries are reached.

    Returns:
        The bento's folder: ``into/home/bentoml/bento``.

    Raises:
        InputError: The reference is wrong; the image is not there, is damaged, holds no bento or
            anything that would leave the folder; or the folder holds something else.
        CoalmineError: The folder could not be written; it is not there then.
    """
    image = _read(reference)
    try:
        if not _holds(into, image.digest):
            into.parent.mkdir(parents=True, exist_ok=True)
            with _at_hand(image, into.parent, registry) as here:
                _replace(here, into)
    except OSError as error:
        raise CoalmineError(
            f"the image could not be unpacked to {into}: {error.strerror or error}",
            fix=f"make room there; see that {into.parent} can be written",
        ) from error
    return into / BENTO_PATH


def _read(reference: str) -> ImageReference | RemoteReference:
    url, _, digest = reference.rpartition("@")
    if is_digest(digest) and not is_folder(url):
        return parse_remote(reference, field="image")
    return parse_reference(reference)


@contextmanager
def _at_hand(
    image: ImageReference | RemoteReference, near: Path, registry: RegistryOptions
) -> Iterator[ImageReference]:
    if isinstance(image, ImageReference):
        yield image
        return
    with pulled(image, near, registry) as here:
        yield here


def _holds(into: Path, digest: str) -> bool:
    if _marked(into, digest):
        return True
    taken = into.exists() and (not into.is_dir() or any(into.iterdir()))
    if taken and _marked(into, digest):  # another one was quicker, between the two looks
        return True
    if taken:
        raise InputError(
            f"{into} holds something else than {digest}", fix="remove it or name another"
        )
    return False


def _marked(into: Path, digest: str) -> bool:
    marker = into / _MARKER
    return marker.is_file() and marker.read_text() == digest


def _replace(image: ImageReference, into: Path) -> None:
    temporary = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}."))
    try:
        _extract(image, temporary)
        write_atomic(temporary / _MARKER, image.digest)
        temporary.chmod(0o755)
        try:
            temporary.rename(into)
        except OSError:  # another one may have been quicker
            if not _holds(into, image.digest):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(image: ImageReference, into: Path) -> None:
    blobs = Blobs(image.folder / "blobs" / "sha256", into)
    tree = Tree(into)
    for layer, compression in bento_layers(_image_manifest(blobs, image), str(image)):
        with blobs.open(layer.digest) as file:
            tree.add_layer(file, compression)
    tree.make_links()
    if not (into / BENTO_PATH / "bento.yaml").is_file():
        raise InputError(f"{image} holds no bento", fix="give an image that coalmine has built")


def _image_manifest(blobs: Blobs, image: ImageReference) -> bytes:
    content = blobs.read(image.digest)
    child = first_image(content, str(image))
    return blobs.read(child) if child else content
