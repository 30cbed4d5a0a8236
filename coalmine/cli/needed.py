"""What on this machine may still be asked for: by a service, or by a release in progress."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

__all__ = ["cutoff", "in_progress", "served_images"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MARKERS = ("*/.coalmine-image", "*/*/.coalmine-image")


def cutoff(now: datetime, days: float, begun: list[datetime]) -> datetime:
    """Find the moment before which nothing is needed. Pure.

    Args:
        now: The time.
        days: How long everything is kept.
        begun: When each release in progress was asked for; it has asked for its context since.
    """
    return min([now - timedelta(days=days), *begun])


def in_progress(state: Path) -> list[dict[str, object]]:
    """Read the releases that have not ended.

    Raises:
        CoalmineError: The ledger cannot be read.
    """
    from coalmine.launcher.read import read_releases  # noqa: PLC0415 - keeps `--help` quick

    if not (state / "ledger.db").is_file():
        return []
    return [one for one in read_releases(state) if not one["ended_at"]]


def served_images(state: Path) -> frozenset[str]:
    """Name the images, by digest, that services on this machine run or try.

    Raises:
        CoalmineError: A record cannot be read.
        OSError: A file cannot be read.
    """
    from coalmine.serving.records import Records  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stack.layout import Layout  # noqa: PLC0415

    layout = Layout(state)
    records = Records(layout.services)
    said = [record.canary_image for name in records.services() if (record := records.read(name))]
    unpacked = [marker for pattern in _MARKERS for marker in layout.revisions.glob(pattern)]
    said += [marker.read_text() for marker in unpacked]
    return frozenset(digest for text in said for digest in _DIGEST.findall(text))
