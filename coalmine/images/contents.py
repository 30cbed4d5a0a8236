"""What of an image is the bento: which manifest, and which layers. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from operator import index

from coalmine._base.errors import InputError
from coalmine.images.config import LAYER_TYPES, TITLE, Blob
from coalmine.registry.digest import is_digest

__all__ = ["bento_layers", "first_image"]

_COMPRESSIONS = {media: name for name, media in LAYER_TYPES.items()}


def first_image(content: bytes, name: str) -> str:
    """Find the first image of an index, since the bento is the same in all; empty if it is none.

    Raises:
        InputError: It is neither manifest nor index.
    """
    try:
        images = json.loads(content).get("manifests", ())
        digest = images[0]["digest"] if images else ""
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise InputError(f"{name} is no image manifest") from None
    if digest and not is_digest(digest):
        raise InputError(f"{name} is no image manifest")
    return str(digest)


def bento_layers(manifest: bytes, name: str) -> Iterator[tuple[Blob, str]]:
    """Give each layer and its compression, lowest first.

    Where layers have titles, those of a base image have none, and they and the packages stay
    packed: what runs here runs on this machine's Python.

    Raises:
        InputError: It is no image manifest, or has a layer of an unknown kind.
    """
    try:
        layers = [
            (
                Blob(item["digest"], index(item["size"])),
                item["mediaType"],
                item.get("annotations", {}).get(TITLE, ""),
            )
            for item in json.loads(manifest)["layers"]
        ]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise InputError(f"{name} is no image manifest") from None
    titled = any(title for _, _, title in layers)
    for blob, media_type, title in layers:
        if titled and title in {"", "packages"}:
            continue
        if media_type not in _COMPRESSIONS or not is_digest(blob.digest):
            raise InputError(f"{name} has a layer {blob.digest} of unknown kind {media_type}")
        yield blob, _COMPRESSIONS[media_type]
