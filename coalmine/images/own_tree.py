"""An image's packages on this machine, where it is of the image's kind: to be imported from."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.images.compressed import Stored
from coalmine.images.config import LAYER_TYPES
from coalmine.images.dependencies import Installed
from coalmine.images.layout import OciLayout
from coalmine.images.platforms import own_platform
from coalmine.images.tree import Tree
from coalmine.images.venv import VENV

__all__ = ["own_tree", "unpacked_packages"]

_COMPRESSIONS = {media: kind for kind, media in LAYER_TYPES.items()}


def own_tree(installed: Sequence[Installed | None]) -> Installed:
    """Choose the packages that this Python can import.

    Raises:
        InputError: There are none.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    there = [one for one in installed if one]
    for one in there:
        if one.wanted.platform == own_platform() and one.wanted.python.version == here:
            return one
    kinds = [f"{one.wanted.platform} with Python {one.wanted.python.version}" for one in there]
    raise InputError(
        f"the service cannot be imported here, on {own_platform()} with Python {here}: "
        f"the image is for {', '.join(kinds)}"
        if kinds
        else "the service cannot be imported: the bento lists no packages, so the image has none",
        field="check_import",
        fix="run coalmine with the image's Python, on its platform; or leave check_import empty",
    )


@contextmanager
def unpacked_packages(layout: OciLayout, packages: Installed, layer: Stored) -> Iterator[Path]:
    """Have a layer's packages in a folder until the end of the block.

    Raises:
        InputError: The layer is gone or damaged.
        OSError: The folder cannot be written.
    """
    below = f"{VENV}/lib/python{packages.wanted.python.version}/site-packages"
    with tempfile.TemporaryDirectory(prefix="coalmine-packages-") as folder:
        tree = Tree(Path(folder))
        with layout.blobs.open(layer.blob.digest) as blob:
            tree.add_layer(blob, _COMPRESSIONS[layer.media_type], below)
        tree.make_links()
        yield Path(folder) / below
