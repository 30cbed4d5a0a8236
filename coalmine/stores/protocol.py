"""Where bentos come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["PushStore", "Pushed", "Store"]


class Store(Protocol):
    """Holds bentos by name and version.

    Attributes:
        url: Names the store, if a version in it never changes; empty if one may.
    """

    @property
    def url(self) -> str: ...  # noqa: D102

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

    def names(self) -> dict[str, list[str]]:
        """List every bento's versions, the newest last.

        Raises:
            CoalmineError: The store cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a bento that was pushed.

    Attributes:
        reference: Where it is.
        digest: ``sha256:`` of what is stored there.
        sent_bytes: How much was sent; 0 if it was there already.
    """

    reference: str
    digest: str
    sent_bytes: int


class PushStore(Store, Protocol):
    """A store that bentos can be put into from here."""

    def push(
        self,
        folder: Path,
        tag: tuple[str, str],
        *,
        replace: bool = False,
        report: Callable[[int], None] = lambda _: None,
    ) -> Pushed:
        """Put a bento into the store.

        Args:
            folder: The bento with its models, as ``fetch`` writes it.
            tag: Name and version.
            replace: Put it in place of another content of that version.
            report: Is told of bytes as they are sent.

        Raises:
            InputError: Another content has that version already.
            CoalmineError: The store does not answer.
        """
