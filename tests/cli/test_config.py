"""Options come from the command line, else the environment, else the file; nothing is ignored."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _coalmine(
    folder: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "coalmine", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "coalmine.yaml").write_text("runs: {state: from-file}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "environment", "used"),
    [
        (("runs",), {}, "from-file"),
        (("runs",), {"COALMINE_STATE": "from-environment"}, "from-environment"),
        (("runs", "--state", "flag"), {"COALMINE_STATE": "from-environment"}, "flag"),
    ],
)
def test_the_order_of_strength(
    folder: Path, arguments: tuple[str, ...], environment: dict[str, str], used: str
) -> None:
    shown = _coalmine(folder, *arguments, **environment)
    assert str(folder / used) in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("runs: {stat: 5}", "runs: there is no option stat"),
        ("runs: 5", "runs: write a mapping"),
        ("run: {state: x}", "run: there is no such command"),
        ("- runs", "write a mapping from command to options"),
        ("runs: [", "is no YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(folder: Path, content: str, said: str) -> None:
    (folder / "coalmine.yaml").write_text(content)
    shown = _coalmine(folder, "runs")
    assert (shown.returncode, "Traceback" in shown.stderr) == (2, False)
    assert said in shown.stderr


def test_a_file_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "coalmine.yaml").write_bytes(b"\xff\xfe\x00runs")
    assert "is no YAML" in _coalmine(folder, "runs").stderr


def test_options_may_be_written_with_hyphens(folder: Path) -> None:
    (folder / "coalmine.yaml").write_text("up: {proxy-port: 70000}")
    shown = _coalmine(folder, "up", "--state", "state")
    assert shown.returncode == 2
    assert "70000" in shown.stderr


def test_a_place_that_cannot_be_written_is_a_sentence(folder: Path) -> None:
    (folder / "pipeline.yaml").write_text("no pipeline")
    shown = _coalmine(folder, "demo", "--state", "/proc/nowhere", "-o", "json")
    assert (shown.returncode, "Traceback" in shown.stderr) == (1, False)
    assert shown.stderr.startswith("Error: /proc/nowhere")
