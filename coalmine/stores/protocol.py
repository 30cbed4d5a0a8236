"""Where bentos come from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

__all__ = ["Store"]


class Store(Protocol):
    """Holds bentos by name and version."""

    def resolve(self, name: str, version: str) -> str:
        """Find the version that is meant; ``latest`` and the empty string mean the newest.

        Raises:
            InputError: The store holds no such bento; the message lists what it does hold.
        """

    def source(self, name: str, version: str) -> str:
        """Name what ``fetch`` would write, without fetching it.

        Returns:
            The same only while the content is the same; empty if the store cannot tell.

        Raises:
            InputError: The bento is not there.
            CoalmineError: The store cannot be read.
        """

    def fetch(self, name: str, version: str, into: Path) -> None:
        """Write the bento, with its models, as a build context into a new folder.

        Args:
            name: The bento's name.
            version: A resolved version.
            into: A folder that does not exist yet; its parent does.

        Raises:
            InputError: The bento is not there or is corrupt.
            CoalmineError: The store cannot be read.
        """
