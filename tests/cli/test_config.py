"""Options come from the command line, else the environment, else the file; nothing is ignored."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Coalmine = Callable[..., subprocess.CompletedProcess[str]]


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
    coalmine: Coalmine,
    folder: Path,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    used: str,
) -> None:
    shown = coalmine(*arguments, cwd=folder, **environment)
    assert str(folder / used) in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("runs: {stat: 5}", "runs: there is no option stat"),
        ("runs: 5", "runs: write a mapping"),
        ("run: {state: x}", "run: there is no such command"),
        ("- runs", "write a mapping from command to options"),
        ("runs: [", "is no YAML"),
        ("runs: " + "[" * 5000, "it is too deep"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(
    coalmine: Coalmine, folder: Path, content: str, said: str
) -> None:
    (folder / "coalmine.yaml").write_text(content)
    shown = coalmine("runs", cwd=folder)
    assert (shown.returncode, "Traceback" in shown.stderr) == (2, False)
    assert said in shown.stderr


def test_a_file_that_is_no_text_is_refused(coalmine: Coalmine, folder: Path) -> None:
    (folder / "coalmine.yaml").write_bytes(b"\xff\xfe\x00runs")
    assert "is no YAML" in coalmine("runs", cwd=folder).stderr


def test_options_may_be_written_with_hyphens(coalmine: Coalmine, folder: Path) -> None:
    (folder / "coalmine.yaml").write_text("up: {proxy-port: 70000}")
    shown = coalmine("up", "--state", "state", cwd=folder)
    assert shown.returncode == 2
    assert "70000" in shown.stderr


def test_a_place_that_cannot_be_written_is_a_sentence(coalmine: Coalmine, folder: Path) -> None:
    (folder / "pipeline.yaml").write_text("no pipeline")
    shown = coalmine("demo", "--state", "/proc/nowhere", cwd=folder)
    assert (shown.returncode, "Traceback" in shown.stderr) == (1, False)
    assert shown.stderr.startswith("Error: /proc/nowhere")
