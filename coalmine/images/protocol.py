"""What makes images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Builder", "BuiltImage"]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that is whole and in its place.

    Attributes:
        url: Where it is, without the digest: ``oci-layout:///dir`` or ``registry/repository``.
        digest: ``sha256:`` and 64 hexadecimal digits, of the manifest or index.
        written_bytes: Bytes of blobs that were not there before.
        reused_bytes: Bytes of blobs that were.
        sent_bytes: Bytes of blobs that went to a registry; those it had do not count.
    """

    url: str
    digest: str
    written_bytes: int
    reused_bytes: int
    sent_bytes: int = 0

    @property
    def reference(self) -> str:
        """The image by digest, as every later step takes it: ``url@digest``."""
        return f"{self.url}@{self.digest}"


class Builder(Protocol):
    """Turns a build context into an image."""

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image; the same context gives the same digest, and unchanged layers are kept.

        Raises:
            InputError: The context is no bento, or needs what this builder cannot do.
            CoalmineError: The image could not be written; no part of it is visible.
        """
