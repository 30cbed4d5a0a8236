"""What is remembered of each model server: its port and its bento, as one file each."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.stack.ports import free_port

__all__ = ["Entries"]

logger = logging.getLogger(__name__)
FILE = "server.json"


class Entries:
    """The entries in the revisions' folders.

    Args:
        folder: Where each revision has a folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, revision: str) -> bool:
        return self._path(revision).exists()

    def read(self, revision: str) -> tuple[int, Path]:
        """Give a server's port and its bento's folder.

        Raises:
            CoalmineError: There is none for this revision.
        """
        try:
            entry = json.loads(self._path(revision).read_text())
        except FileNotFoundError:
            raise CoalmineError(f"there is no server for the revision {revision}") from None
        return entry["port"], Path(entry["bento"])

    def write(self, revision: str, bento: Path, port: int) -> None:
        """Remember a server."""
        entry = json.dumps({"port": port, "bento": str(bento)}) + "\n"
        write_atomic(self._path(revision), entry)

    def new_port(self, revision: str) -> int:
        """Choose a port that nobody listens on, and that no other server has."""
        taken = {json.loads(path.read_text())["port"] for path in self._folder.glob(f"*/{FILE}")}
        port = free_port(frozenset(taken))
        logger.info("port chosen", extra={"revision": revision, "port": port})
        return port

    def _path(self, revision: str) -> Path:
        return self._folder / revision / FILE
