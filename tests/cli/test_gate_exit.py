"""``coalmine gate`` exits with 1 for a roll-back alone: no failure of its own may look like one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

NAMED = ("--prometheus", "http://127.0.0.1:1", "--service", "iris", "--canary", "r2")
PAST = ("--replay", "2024-01-01T00:00:00Z", "2024-01-01T00:10:00Z")


def _gate(folder: Path, *arguments: str, stderr: int = subprocess.PIPE) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "coalmine", "gate", *arguments],
        cwd=folder,  # where ``-m`` looks for modules first
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + (done.stderr or "")


@pytest.mark.parametrize(
    ("module", "crash", "said"),
    [
        ("httpx", "import no_such_module", "ModuleNotFoundError: No module named"),
        ("json", "raise ImportError('half installed')", "ImportError: half installed"),
        ("httpx", "raise RuntimeError('boom')", "RuntimeError: boom"),
    ],
)
def test_a_crash_is_no_verdict(tmp_path: Path, module: str, crash: str, said: str) -> None:
    (tmp_path / f"{module}.py").write_text(crash)
    code, told = _gate(tmp_path, *NAMED, *PAST)
    assert (code, "Traceback" in told) == (3, True), told
    assert f"Error: no verdict: {said}" in told


@pytest.mark.parametrize(
    ("crash", "said"),
    [
        ("raise OSError(28, 'No space left on device')", "No space left on device"),
        ("import coalmine._base.errors as e; raise e.CoalmineError('not now')", "not now"),
    ],
)
def test_a_failure_is_no_verdict(tmp_path: Path, crash: str, said: str) -> None:
    (tmp_path / "httpx.py").write_text(crash)
    code, told = _gate(tmp_path, *NAMED, *PAST)
    assert (code, "Traceback" in told) == (3, False), told
    assert said in told


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_exit_code_is_right_where_nobody_reads(
    tmp_path: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    wrong, _ = _gate(tmp_path, *NAMED, "--policy", "nowhere.yaml", stderr=writer)
    (tmp_path / "httpx.py").write_text("raise RuntimeError('boom')")
    crashed, _ = _gate(tmp_path, *NAMED, *PAST, stderr=writer)
    os.close(writer)
    assert (wrong, crashed) == (2, 3)


def test_a_name_that_is_no_text_is_no_verdict(tmp_path: Path) -> None:
    code, told = _gate(tmp_path, *NAMED[:4], "--canary", "a\udcff")
    assert (code, "Traceback" in told) == (2, False), told


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-such-option",),
        (*NAMED, "--policy", "nowhere.yaml"),
        (*NAMED, "--policy", "broken.yaml"),
        (*NAMED, "--policy", "bytes.yaml"),
        (*NAMED, "--since", "yesterday"),
        (*NAMED, "--since", "0001-01-01T00:00:00+23:00"),
        (*NAMED, "--report", "."),
        ("--prometheus", "http://[", *NAMED[2:]),
    ],
)
def test_wrong_input_is_no_verdict(
    coalmine: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    (tmp_path / "broken.yaml").write_text("spec: [")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    done = coalmine("gate", *arguments, cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert done.stderr
