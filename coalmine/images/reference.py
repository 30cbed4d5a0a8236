"""How an image in an OCI layout folder is named: ``oci-layout:///folder@sha256:...``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from coalmine._base.errors import InputError
from coalmine.registry.digest import is_digest

__all__ = ["SCHEME", "ImageReference", "layout_folder", "parse_reference"]

SCHEME = "oci-layout://"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image, by digest.

    Attributes:
        folder: The OCI layout that holds it; absolute.
        digest: ``sha256:`` and 64 hexadecimal digits, of its manifest.
    """

    folder: Path
    digest: str

    @property
    def url(self) -> str:
        """Where the image is, without its digest."""
        return SCHEME + quote(str(self.folder))

    def __str__(self) -> str:
        return f"{self.url}@{self.digest}"


def parse_reference(text: str) -> ImageReference:
    """Read an image reference.

    Raises:
        InputError: It names no OCI layout folder, or is not by digest.
    """
    url, _, digest = text.rpartition("@")
    if not url.startswith(SCHEME) or not is_digest(digest):
        raise InputError(
            f"{text!r} is no image by digest in an OCI layout folder",
            field="image",
            fix="give oci-layout:///folder@sha256:... as the build step writes it",
        )
    return ImageReference(_absolute(url.removeprefix(SCHEME), text), digest)


def layout_folder(repository: str) -> Path:
    """Find the folder that a repository means: a path, or an ``oci-layout://`` URL.

    Raises:
        InputError: It is a registry or another kind of place.
    """
    if repository.startswith(SCHEME):
        return _absolute(repository.removeprefix(SCHEME), repository)
    if repository.startswith(("/", "./", "../", "~")):
        return Path(repository).expanduser().resolve()
    raise InputError(
        f"{repository!r} is no folder, and images cannot be pushed to a registry yet",
        field="repository",
        fix="give a path that begins with / or ./ or oci-layout:///folder, or leave it empty",
    )


def _absolute(path: str, text: str) -> Path:
    folder = Path(unquote(path))
    if not folder.is_absolute():
        raise InputError(
            f"{text!r} has no absolute path", fix="write three slashes: oci-layout:///folder"
        )
    return folder
