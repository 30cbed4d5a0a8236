"""An OCI image layout: a folder of blobs, and an index that says which of them are images.

Every blob is in its place before the index names it, and the index is replaced as a whole. So a
reader never sees a part of an image, whatever happens to the writer.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic
from coalmine.images.blobs import Blobs
from coalmine.images.compressed import CompressedLayers
from coalmine.images.config import MANIFEST_TYPE, Blob, canonical, descriptor

__all__ = [
    "InUseError",
    "OciLayout",
    "exclusively",
    "images_of",
    "layouts_in",
    "shared",
    "with_image",
]

_REF_NAME = "org.opencontainers.image.ref.name"
_LOCK_SECONDS = 600


class InUseError(CoalmineError):
    """A build or a push uses a layout."""


class OciLayout:
    """One OCI layout folder.

    Args:
        folder: Where it is.
        durable: Whether its blobs outlive a power cut.

    Attributes:
        folder: Where it is.
        temporary: For what is not whole yet; swept by the next writer.
        notes: Small files about layers.
        installs: For packages that are being installed.
        blobs: What it holds.
        layers: The layers among that.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        own = folder / ".coalmine"  # in the layout, to be on one disk with it: renames must work
        self._lock, self._use = own / "lock", own / "use"
        self.temporary, self.notes = own / "tmp", own / "layers"
        self.installs = own / "installs"
        self.folder = folder
        self.blobs = Blobs(folder / "blobs" / "sha256", self.temporary, durable=durable)
        self.layers = CompressedLayers(self.blobs, self.notes)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep what is in it from being cleaned away; many may do so at once.

        Raises:
            InputError: The folder holds something else.
        """
        self._check()
        with shared(self._use):
            yield

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Hold the layout for a clean-up: nobody uses it, and nobody begins to.

        Raises:
            InUseError: A build or a push uses it.
        """
        with exclusively(self._use), self.writing():
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the layout as its one writer; what a killed one left half-done is swept away.

        Raises:
            InputError: The folder holds something else.
            CoalmineError: Another build holds it for too long.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415 - only writers need it

        self._check()
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._lock, timeout=_LOCK_SECONDS):
                self._prepare()
                yield
        except Timeout:
            raise CoalmineError(
                f"another build has held {self.folder} for {_LOCK_SECONDS} s",
                fix="wait for it to end, or stop it",
            ) from None

    def publish(self, manifest: Blob, *, tag: str, media_type: str = MANIFEST_TYPE) -> None:
        """Make an image visible under a tag; an older image of that tag stays, by digest."""
        path = self.folder / "index.json"
        before = path.read_bytes() if path.exists() else b""
        index = with_image(_images(before, path), manifest, tag, media_type)
        after = canonical({"schemaVersion": 2, "manifests": index})
        if after != before:
            write_atomic(path, after)

    def _check(self) -> None:
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is no folder", field="repository")
        found = {item.name for item in self.folder.iterdir() if not item.name.startswith(".")}
        strangers = sorted(found - {"blobs"})
        if strangers and "oci-layout" not in found:
            raise InputError(
                f"{self.folder} holds something else than images: {', '.join(strangers[:3])}",
                field="repository",
                fix="name an empty folder, or one that holds an OCI layout",
            )

    def _prepare(self) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(exist_ok=True)
        for left in self.folder.glob(".index.json.*"):
            left.unlink()
        (self.folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        marker = self.folder / "oci-layout"
        if not marker.exists():
            write_atomic(marker, canonical({"imageLayoutVersion": "1.0.0"}))


def shared(lock: Path) -> AbstractContextManager[None]:
    """Hold a folder's lock with others who use it; it waits for a clean-up to end."""
    return _held(lock, fcntl.LOCK_SH)


def exclusively(lock: Path) -> AbstractContextManager[None]:
    """Hold a folder's lock alone.

    Raises:
        InUseError: Somebody uses the folder.
    """
    return _held(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _held(lock: Path, how: int) -> Iterator[None]:
    """Hold a file's lock, which the system takes back from whoever is killed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            raise InUseError(
                f"a build or a push uses {lock.parent.parent}",
                fix="run this again when it has ended",
            ) from None
        yield


def with_image(
    images: list[dict[str, Any]], manifest: Blob, tag: str, media_type: str = MANIFEST_TYPE
) -> list[Mapping[str, object]]:
    """Put an image into an index under a tag. Pure.

    Entries of other images and other tags stay; whoever had the tag loses it and stays too.
    """
    new = descriptor(media_type, manifest) | {"annotations": {_REF_NAME: tag}}
    kept: list[Mapping[str, object]] = []
    for image in images:
        tagged = image.get("annotations", {}).get(_REF_NAME, "")
        if image.get("digest") == manifest.digest and tagged in {"", tag}:
            continue
        kept.append(_untagged(image) if tagged == tag else image)
    return [*kept, new]


def images_of(folder: Path) -> list[dict[str, Any]]:
    """List a layout's images as its index has them, the newest last.

    Raises:
        InputError: The index cannot be read.
    """
    path = folder / "index.json"
    return _images(path.read_bytes() if path.exists() else b"", path)


def layouts_in(parent: Path) -> list[Path]:
    """Name the layouts in a folder."""
    if not parent.is_dir():
        return []
    return sorted(item for item in parent.iterdir() if (item / "oci-layout").is_file())


def _untagged(image: dict[str, Any]) -> dict[str, Any]:
    others = {name: value for name, value in image["annotations"].items() if name != _REF_NAME}
    bare = {name: value for name, value in image.items() if name != "annotations"}
    return bare | {"annotations": others} if others else bare


def _images(index: bytes, path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(index)["manifests"]) if index else []
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is no index of images", fix="remove its folder") from None
