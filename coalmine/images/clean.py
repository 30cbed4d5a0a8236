"""What nobody needs in an image layout, taken away.

First an image's name goes, then what tells of its layers, then their bytes: so a clean-up that is
killed leaves nothing that points to what is gone, and the next one goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalmine._base.files import write_atomic
from coalmine.images.config import canonical
from coalmine.images.layout import InUseError, OciLayout, images_of
from coalmine.registry.digest import is_digest

__all__ = ["Cleaned", "InUseError", "Policy", "clean_layout", "kept_images", "reachable"]

_LARGEST_MANIFEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """What stays.

    Attributes:
        before: What was last used earlier, in seconds since 1970, may go.
        keep: How many images of a layout stay, the newest; None means all that it lists.
        needed: Digests of images that stay in any case.
    """

    before: float
    keep: int | None = None
    needed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was, or would be, taken away from a layout.

    Attributes:
        folder: The layout.
        images: Digests of images that it does not list any more.
        blobs: How many blobs.
        size: Bytes in them.
    """

    folder: Path
    images: tuple[str, ...] = ()
    blobs: int = 0
    size: int = 0


def clean_layout(folder: Path, policy: Policy, *, dry_run: bool = False) -> Cleaned:
    """Take away what is not needed; no build and no push uses the layout meanwhile.

    Args:
        folder: The layout.
        policy: What stays.
        dry_run: Take nothing away.

    Raises:
        InUseError: A build or a push uses it.
        InputError: It is no layout, or its index cannot be read.
        OSError: Something cannot be removed.
    """
    layout = OciLayout(folder)
    with layout.cleaning():
        listed = images_of(folder)
        kept = kept_images(listed, policy)
        staying = reachable({*(str(item["digest"]) for item in kept), *policy.needed}, layout)
        notes = list(_notes(layout))
        staying |= {digest for note, digest in notes if _used(note, policy)}
        old = [
            blob
            for blob in sorted((folder / "blobs" / "sha256").iterdir())
            if f"sha256:{blob.name}" not in staying and not _used(blob, policy)
        ]
        gone = tuple(str(item["digest"]) for item in listed if item not in kept)
        cleaned = Cleaned(folder, gone, len(old), sum(blob.stat().st_size for blob in old))
        if not dry_run:
            if gone:
                index = {"schemaVersion": 2, "manifests": kept}
                write_atomic(folder / "index.json", canonical(index))
            _remove(layout, old, notes, policy)
        return cleaned


def kept_images(listed: list[dict[str, Any]], policy: Policy) -> list[dict[str, Any]]:
    """Choose the images of a layout's list that stay; the newest stand last. Pure."""
    if policy.keep is None:
        return listed
    newest = listed[max(0, len(listed) - policy.keep) :]
    return [item for item in listed if item in newest or item["digest"] in policy.needed]


def reachable(roots: Iterable[str], layout: OciLayout) -> set[str]:
    """Name all blobs that some images need; what is missing is passed over.

    Raises:
        OSError: A manifest cannot be read.
    """
    found: set[str] = set()
    ahead = list(roots)
    while ahead:
        digest = ahead.pop()
        if digest not in found and is_digest(digest):
            found.add(digest)
            ahead += _children(layout.blobs.path(digest))
    return found


def _children(blob: Path) -> list[str]:
    if not blob.is_file() or blob.stat().st_size > _LARGEST_MANIFEST:
        return []
    try:
        content = json.loads(blob.read_bytes())
        items = [content.get("config"), *content.get("layers", ()), *content.get("manifests", ())]
        return [str(item["digest"]) for item in items if isinstance(item, Mapping)]
    except (ValueError, AttributeError, KeyError, TypeError):
        return []  # a configuration or a layer


def _notes(layout: OciLayout) -> Iterator[tuple[Path, str]]:
    """Give each note about a layer, and the blob that it tells of."""
    for note in sorted(layout.notes.rglob("*")):
        if note.is_file():
            try:
                digest = str(json.loads(note.read_text())["digest"])
            except (ValueError, KeyError, TypeError):
                digest = ""
            yield note, digest


def _used(path: Path, policy: Policy) -> bool:
    return path.stat().st_mtime >= policy.before


def _remove(
    layout: OciLayout, blobs: list[Path], notes: list[tuple[Path, str]], policy: Policy
) -> None:
    gone = {f"sha256:{blob.name}" for blob in blobs}
    for note, digest in notes:
        if digest in gone or not _used(note, policy):
            note.unlink()
    for blob in blobs:
        blob.unlink()
    shutil.rmtree(layout.installs, ignore_errors=True)
