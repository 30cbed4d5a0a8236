"""One JSON object a line on stderr, for steps and for servers."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

__all__ = ["log_json_lines"]

HTTP_CLIENTS = ("httpx", "httpx2")
"""Loggers that tell every request: five a second while a step waits for a cluster, which would bury
what the step itself says."""


def log_json_lines(
    *, level: int = logging.INFO, stream: TextIO | None = None, **constant: str
) -> None:
    """Send every log record of this process to one stream, as one JSON object a line.

    Args:
        level: The lowest level that is written.
        stream: Where to; stderr unless told.
        constant: Fields that every line carries, e.g. ``step="gate"``.
    """
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 - keeps `--help` quick

    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            static_fields=dict(constant),
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for client in HTTP_CLIENTS:
        logging.getLogger(client).setLevel(max(level, logging.WARNING))
