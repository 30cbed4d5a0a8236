"""How an image is named: ``oci-layout:///folder@sha256:...``, or as in any registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from coalmine._base.errors import InputError
from coalmine.registry.address import RemoteReference, parse_remote
from coalmine.registry.digest import is_digest

__all__ = [
    "SCHEME",
    "ImageReference",
    "is_folder",
    "layout_folder",
    "parse_reference",
    "parse_target",
]

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
    """Read a reference to an image in a layout folder.

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


def is_folder(repository: str) -> bool:
    """Tell whether a repository is written as a folder: a path or an ``oci-layout://`` URL."""
    return repository.startswith((SCHEME, "/", "./", "../", "~"))


def layout_folder(repository: str) -> Path:
    """Find the folder that a repository means.

    Raises:
        InputError: It has no absolute path.
    """
    if repository.startswith(SCHEME):
        return _absolute(repository.removeprefix(SCHEME), repository)
    return Path(repository).expanduser().resolve()


def parse_target(repository: str) -> Path | RemoteReference:
    """Read where an image goes: a layout folder, or a repository with or without a tag.

    Raises:
        InputError: It is neither.
    """
    if is_folder(repository):
        return layout_folder(repository)
    try:
        target = parse_remote(repository)
    except InputError as error:
        raise InputError(
            error.message.partition(": ")[2],
            field="repository",
            fix="give host/path of a registry, or a folder: a path that begins with / or ./, or "
            "oci-layout:///folder",
        ) from None
    if target.digest:
        raise InputError(
            f"{repository!r} has a digest, which an image has only once it is built",
            field="repository",
            fix="leave @sha256:... away",
        )
    return target


def _absolute(path: str, text: str) -> Path:
    folder = Path(unquote(path))
    if not folder.is_absolute():
        raise InputError(
            f"{text!r} has no absolute path", fix="write three slashes: oci-layout:///folder"
        )
    return folder
