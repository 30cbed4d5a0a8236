"""What a failed task said last, for people."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

__all__ = ["last_words"]

logger = logging.getLogger(__name__)

TAIL_BYTES = 65536
LINE_LIMIT = 300


def last_words(log: Path) -> str:
    """Find what a failed task said last: the message of its final line, else that line itself.

    Empty if the log cannot be read.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        logger.warning("%s cannot be read: %s", log, error)
        return ""
    for line in reversed(lines):
        if (said := _final_message(line)) is not None:
            return said
    return next((line.strip()[:LINE_LIMIT] for line in reversed(lines) if line.strip()), "")


def _final_message(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("final") is not True:
        return None
    message, fix = str(entry.get("message", "")), str(entry.get("fix") or "")
    return f"{message} (fix: {fix})" if fix else message
