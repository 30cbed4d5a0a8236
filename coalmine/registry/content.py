"""What a repository holds, and what became of what was to be there."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.registry.digest import digest_of

__all__ = ["MANIFEST_TYPES", "Manifest", "Pushed"]

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index.

    Attributes:
        content: Its exact bytes; its digest is theirs.
        media_type: What it is.
    """

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """``sha256:`` and 64 hexadecimal digits."""
        return digest_of(self.content)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of blobs that were to be there.

    Attributes:
        sent_bytes: Of blobs that were sent.
        reused_bytes: Of blobs that were there, or were mounted from another repository.
    """

    sent_bytes: int = 0
    reused_bytes: int = 0

    def __add__(self, other: Pushed) -> Pushed:
        return Pushed(self.sent_bytes + other.sent_bytes, self.reused_bytes + other.reused_bytes)
