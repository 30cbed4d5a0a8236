"""How many bytes were stored anew, and how many were there."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.images.config import Blob

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """Counts while an image is written."""

    written: int = 0
    reused: int = 0

    def count(self, blob: Blob, *, here: bool) -> None:
        """Count a blob."""
        if here:
            self.reused += blob.size
        else:
            self.written += blob.size

    def count_added(self, added: tuple[Blob, bool]) -> Blob:
        """Count a blob that was just added, and give it."""
        blob, here = added
        self.count(blob, here=here)
        return blob
