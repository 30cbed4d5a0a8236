"""Processes on a leash, behind a lock."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coalmine.engines.local.lastwords import last_words
from coalmine.engines.local.process import (
    Exit,
    Interrupted,
    Leash,
    PulledError,
    hold_lock,
    run_process,
)

ENVIRON = {"PATH": "/usr/bin:/bin"}


def run(tmp_path: Path, code: str, leash: Leash, timeout: float | None = None) -> Exit | None:
    with hold_lock(tmp_path / "lock", leash) as lock:
        return run_process(
            [sys.executable, "-c", code],
            environ=ENVIRON,
            log=tmp_path / "log",
            lock=lock,
            leash=leash,
            timeout=timeout,
        )


def test_nothing_starts_on_a_pulled_leash(tmp_path: Path) -> None:
    leash = Leash(threading.Event())
    leash.cancel()
    assert run(tmp_path, "pass", leash) is None
    with leash.shelter():
        assert run(tmp_path, "pass", leash) == Exit(0)


def test_a_process_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coalmine.engines.local.process.GRACE_SECONDS", 0.2)
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN);"
        "print(1, flush=True); time.sleep(60)"
    )
    leash = Leash(threading.Event())
    result: list[Exit | None] = []
    thread = threading.Thread(target=lambda: result.append(run(tmp_path, code, leash)))
    thread.start()
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        time.sleep(0.02)
    leash.cancel()
    thread.join(20)
    assert result == [Exit(-9)]


def test_a_lock_outlives_its_parent_in_the_child(tmp_path: Path) -> None:
    """A process of an earlier life holds its successor back until it is dead."""
    leash = Leash(threading.Event())
    with hold_lock(tmp_path / "lock", leash) as lock:
        orphan = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    got = threading.Event()

    def successor() -> None:
        with hold_lock(tmp_path / "lock", leash):
            got.set()

    thread = threading.Thread(target=successor)
    thread.start()
    assert not got.wait(0.5)
    orphan.communicate(b"\n")
    assert got.wait(10)
    thread.join()


def test_waiting_for_a_lock_ends_when_the_engine_closes(tmp_path: Path) -> None:
    closing = threading.Event()
    with hold_lock(tmp_path / "lock", Leash(closing)):
        closing.set()
        with pytest.raises(Interrupted), hold_lock(tmp_path / "lock", Leash(closing)):
            pass


def test_waiting_for_a_lock_ends_when_the_run_is_cancelled(tmp_path: Path) -> None:
    leash = Leash(threading.Event())
    got = threading.Event()

    def sheltered() -> None:
        with leash.shelter(), hold_lock(tmp_path / "lock", leash):
            got.set()

    with hold_lock(tmp_path / "lock", Leash(threading.Event())):
        leash.cancel()
        with pytest.raises(PulledError), hold_lock(tmp_path / "lock", leash):
            pass
        thread = threading.Thread(target=sheltered)
        thread.start()
        assert not got.wait(0.3)
    assert got.wait(10)
    thread.join()


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ('{"final": true, "message": "m", "fix": "f"}\nnoise\n', "m (fix: f)"),
        ('{"final": true, "message": "old"}\n{"final": true, "message": "new"}\n', "new"),
        ('{"final": false, "message": "m"}\n[1]\n', "[1]"),
        ('{"final": true, "message": "m"}\n\xff{', "m"),
    ],
)
def test_last_words(tmp_path: Path, log: str, said: str) -> None:
    (tmp_path / "log").write_text(log, encoding="latin-1")
    assert last_words(tmp_path / "log") == said
