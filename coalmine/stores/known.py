"""What every version held when it was first seen here.

A version that was released must not become another bento unnoticed, so its content's digest is
written down at first sight, as ssh does with hosts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic

__all__ = ["check_known"]

_LOCK_SECONDS = 60


def check_known(
    file: Path,
    bento: str,
    content: str,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """See that a version holds what it held when it was first seen; note it if this is the first.

    Args:
        file: Where it is written down.
        bento: The version: its store's URL and its tag.
        content: The digest of what it holds.
        now: Tells the time.

    Raises:
        InputError: It holds something else; or the file is not what this function writes.
        CoalmineError: The file cannot be written.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only retrieve needs it

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file.with_suffix(".lock"), timeout=_LOCK_SECONDS):
            known = _read(file)
            if bento not in known:
                seen = now().isoformat(timespec="seconds")
                known[bento] = {"content": content, "seen": seen}
                write_atomic(file, json.dumps(known, indent=2, sort_keys=True) + "\n")
    except Timeout:
        raise CoalmineError(f"another process has held {file} for {_LOCK_SECONDS} s") from None
    if known[bento]["content"] != content:
        raise InputError(
            f"{bento} is not what it was on {known[bento]['seen']}: "
            f"then its content had the digest {known[bento]['content']}, now it has {content}",
            field="version",
            fix=f"release it under a new version; if the change is meant, take it out of {file}",
        )


def _read(file: Path) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(file.read_text())
        return {
            str(bento): {key: str(one[key]) for key in ("content", "seen")}
            for bento, one in known.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} cannot be read: {error!r}", fix="remove it; every version is then new again"
        ) from None
