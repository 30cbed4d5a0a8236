"""A state folder with releases in it, and a launcher to talk to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coalmine.engines.protocol import TaskState, TaskStatus
from coalmine.launcher.announce import read_announced
from coalmine.launcher.facts import Facts
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.release import NewRelease, ReleaseState

HARNESS = Path(__file__).parents[1] / "launcher" / "harness.py"
WRITE = """import pathlib,sys,time
time.sleep(60 if sys.argv[1] == 'slow' else 0)
pathlib.Path(sys.argv[-1]).write_text({!r})
"""
END = """import pathlib,sys
slow = sys.argv[1] == 'slow'
pathlib.Path(sys.argv[-1]).write_text('rolled_back' if slow else 'promoted')
"""
PIPELINE = {
    "tasks": [{"name": "gate", "code": WRITE.format("promote"), "output": "verdict"}],
    "exit": {"name": "finalize", "code": END, "output": "outcome"},
}


def new(release_id: str, version: str) -> NewRelease:
    return NewRelease(
        release_id,
        "iris",
        "iris_classifier",
        version,
        "/ci",
        release_id,
        "t",
        "b",
        "release",
        "local",
        {},
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three releases: promoted, rolled back, accepted."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ledger = Ledger(ledger_url(tmp_path))
    for release_id in ("raaa", "rabb", "rccc"):
        ledger.accept([[new(release_id, f"v-{release_id}")]])
    done = TaskStatus("gate", TaskState.SUCCEEDED, 1, now, now, {"verdict": "promote"}, "[red]x")
    ledger.begin()
    ledger.record("raaa", (done,), Facts(verdict="promote"), ReleaseState.PROMOTED)
    ledger.begin()
    facts = Facts(verdict="rollback", reason="error rate 0.31 is above 0.05")
    ledger.record("rabb", (done,), facts, ReleaseState.ROLLED_BACK)
    ledger.close()
    return tmp_path


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a launcher that runs."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "release.yaml").write_text(json.dumps(PIPELINE))
    found = folder / "state"
    process = subprocess.Popen(
        [sys.executable, str(HARNESS), str(found), str(folder / "pipelines"), "0"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(HARNESS.parents[2])},
    )
    deadline = time.monotonic() + 30
    while not read_announced(found):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield found
    process.terminate()
    assert process.wait(20) == 0
