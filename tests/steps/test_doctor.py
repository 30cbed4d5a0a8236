from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click.testing
import pytest

from coalmine.cli import doctor


def _doctor(state: Path, *options: str) -> click.testing.Result:
    runner = click.testing.CliRunner()
    return runner.invoke(doctor.command, ["--state", str(state), *options])


@pytest.fixture
def prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that says it is Prometheus, alone on PATH."""
    program = tmp_path / "bin" / "prometheus"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'prometheus, version 2.42.0 (branch: x)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("COALMINE_PROMETHEUS_BIN", raising=False)
    return program


def _found(result: click.testing.Result) -> dict[str, str]:
    return {check["name"]: check["found"] for check in json.loads(result.stdout)["checks"]}


def test_all_that_is_here_is_told_with_its_place(tmp_path: Path, prometheus: Path) -> None:
    found = _found(_doctor(tmp_path / "state", "-o", "json"))
    assert found["prometheus"] == f"2.42.0 at {prometheus}"
    assert sys.executable in found["python"]
    assert found["skopeo"] == ""
    assert found["state folder"].endswith("state, to be made")
    assert not (tmp_path / "state").exists()


def test_a_program_that_does_not_run_is_missing(tmp_path: Path, prometheus: Path) -> None:
    prometheus.write_text("#!/bin/sh\nexit 1\n")
    result = _doctor(tmp_path, "-o", "json")
    assert _found(result)["prometheus"] == ""
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (1, False)


def test_missing_packages_are_named_with_how_to_get_them(
    tmp_path: Path, prometheus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "dbos" else "1.0")
    result = _doctor(tmp_path)
    assert result.exit_code == 1
    assert "make setup" in result.stdout
    assert "Missing: dbos" in result.stdout.splitlines()[-1]


def test_what_is_optional_may_be_missing(
    tmp_path: Path, prometheus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "kfp" else "1.0")
    monkeypatch.setattr(doctor, "_which", lambda name: f"/bin/{name}")
    result = _doctor(tmp_path)
    assert result.exit_code == 0
    assert "make setup" in result.stdout


def test_it_works_where_only_the_core_is_installed(tmp_path: Path) -> None:
    """No extra can be imported; the core's own packages can."""
    hide = (
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'bentoml', 'dbos', 'kfp', 'psutil'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from coalmine.cli.doctor import command\n"
        "command(['--state', sys.argv[1]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide, str(tmp_path)],
        env=os.environ | {"COALMINE_PROMETHEUS_BIN": "/nowhere", "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert "MISSING  prometheus" in done.stdout


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_FREE_BYTES", 1 << 62)
    result = _doctor(tmp_path)
    assert result.exit_code == 1
    assert f"make room on the disk of {tmp_path}" in result.stdout


@pytest.mark.parametrize(
    ("python", "sqlite", "suits"),
    [
        ((3, 11), (3, 40, 1), True),
        ((3, 12), (3, 40, 1), False),
        ((3, 13), (3, 41, 9), False),
        ((3, 13), (3, 42, 0), True),
    ],
)
def test_a_sqlite_that_dbos_cannot_use_is_told(
    python: tuple[int, int], sqlite: tuple[int, int, int], suits: bool
) -> None:
    assert doctor.sqlite_suits(python, sqlite) is suits
    # scripts/setup chooses a Python by the same rule, in words of its own.
    text = (Path(__file__).parents[2] / "scripts" / "setup").read_text()
    rule = text.partition("fits='")[2].partition("'")[0].replace("import sqlite3, sys", "")
    said: list[bool] = []
    here = SimpleNamespace(version_info=python, exit=said.append)
    exec(rule, {"sys": here, "sqlite3": SimpleNamespace(sqlite_version_info=sqlite)})
    assert said == [not suits]
