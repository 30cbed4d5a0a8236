"""The clock of a launcher's process jumps, both ways and far, while it works."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.load import Load, check_runs, wait_drained

pytestmark = pytest.mark.integration

JUMPS = ("-2h", "+3d", "-400d")
AHEAD = {"h": timedelta(hours=1), "d": timedelta(days=1)}


def find_faketime() -> Path | None:
    """Find the library that gives a process another clock, where Debian's libfaketime puts it."""
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


def offset(jump: str) -> timedelta:
    return int(jump[:-1]) * AHEAD[jump[-1]]


def set_clock(file: Path, jump: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(f"{jump}\n")
    new.replace(file)


def test_clocks_that_jump(
    counted: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_faketime()
    if found is None:
        pytest.skip("there is no libfaketime on this machine")
    clock = tmp_path / "clock"
    set_clock(clock, "+0")
    monkeypatch.setenv("LD_PRELOAD", str(found))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    for setting in ("FAKETIME_CACHE_DURATION", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"):
        monkeypatch.setenv(setting, "1")
    launcher = counted(seconds=0.05)
    monkeypatch.delenv("LD_PRELOAD")
    load = Load(launcher)

    launcher.wait_for(lambda: bool(load.promised))

    def shown() -> timedelta:
        """How far ahead the launcher's clock is, as the newest release says."""
        newest = launcher.newest()
        return datetime.fromisoformat(newest["requested_at"]) - datetime.now(UTC)

    for jump in JUMPS:
        set_clock(clock, jump)
        launcher.wait_for(lambda: abs(shown() - offset(jump)) < timedelta(minutes=10))  # noqa: B023
        ended = launcher.newest()["id"]
        launcher.wait_for(lambda: launcher.one(ended)["state"] == "promoted")  # noqa: B023
    load.stop()
    wait_drained(launcher)
    check_runs(launcher, load.promised)
    assert launcher.get("/readyz") == "ready\n"
    assert launcher.end(signal.SIGTERM) == 0
