"""Where bentos come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Found", "PushStore", "Pushed", "Store"]


@dataclass(frozen=True, slots=True)
class Found:
    """A bento that can be fetched.

    Attributes:
        source: Names its content: the same only while that is the same. Empty if the store cannot
            tell.
        fetch: Writes the bento, with its models, as a build context into a folder that does not
            exist yet, and whose parent does. Raises InputError if it is damaged or refused, and
            CoalmineError if the store cannot be read.
    """

    source: str
    fetch: Callable[[Path], None]


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

    def find(self, name: str, version: str) -> Found:
        """Look a bento up; what is found is the same thing however the store changes meanwhile.

        Args:
            name: The bento's name.
            version: A resolved version.

        Raises:
            InputError: The bento is not there or is damaged.
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
            folder: The bento with its models, as it is fetched.
            tag: Name and version.
            replace: Put it in place of another content of that version.
            report: Is told of bytes as they are sent.

        Raises:
            InputError: Another content has that version already.
            CoalmineError: The store does not answer.
        """
