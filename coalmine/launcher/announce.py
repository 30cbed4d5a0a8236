"""Where a launcher listens, said in a file of its state folder for those on the same machine."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from coalmine._base.files import write_atomic

__all__ = ["announced", "read_announced"]

logger = logging.getLogger(__name__)

FILE = "launcher.json"


@contextlib.contextmanager
def announced(state: Path, url: str) -> Iterator[None]:
    """Say where the launcher listens, in the log and in ``launcher.json``, until it stops."""
    path = state / FILE
    write_atomic(path, json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    logger.info("listening on %s", url, extra={"url": url})
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_announced(state: Path) -> str:
    """Find the base URL of the launcher with this state folder; empty if none has said it."""
    try:
        return str(json.loads((state / FILE).read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
