"""Python function components run as processes of this installation."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler.ir import read_graph
from coalmine.engines.local import LocalEngine
from coalmine.engines.local.functions import function_command, is_function, packages_of
from coalmine.engines.protocol import RunRequest, RunState, RunStatus

ROOT = Path(__file__).parent.parent.parent
TEXT = 'it\'s "x" {{{y}}} é\n\\ $HOME $$ $(id) `id`'


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    source = ROOT / "tests" / "compiler" / "corpus.py"
    subprocess.run(
        [sys.executable, source, folder, "functions", "artifacts_run", "pods"],
        check=True,
        timeout=120,
    )
    return folder


def run(pipeline: Path, state: Path, **parameters: str) -> RunStatus:
    engine = LocalEngine(state, read_graph)
    engine.open()
    try:
        engine.submit(RunRequest("r1", pipeline, parameters))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = engine.status("r1")
            if status and status.state.ended:
                return status
            time.sleep(0.02)
    finally:
        engine.close()
    raise AssertionError("still running")


def test_functions_and_their_artifacts(
    pipelines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    status = run(pipelines / "functions.yaml", tmp_path / "state", text=TEXT)
    assert status.state is RunState.SUCCEEDED, status.message
    assert list(temporary.glob("tmp.*")) == []
    made = {task.name: task.outputs for task in status.tasks}
    assert made["produce"]["echo"] == f"<{TEXT}>"
    assert made["produce"]["seen"] == '[3,0.25,true,null,["é",1]]'
    metadata = "[('accuracy', 0.5), ('odd', '{{=1}} $(date) é')]"
    said = f"<{TEXT}>|data|<{TEXT}>\n{{}}\n|5|None|Model|{metadata}"
    assert made["consume"] == {"Output": said}
    assert status.outputs["said"] == said
    metrics = json.loads(status.outputs["metrics"])
    assert metrics["metadata"] == {"loss": 0.25}
    assert metrics["uri"].startswith(str(tmp_path / "state" / "runs" / "r1" / "produce"))


def test_what_is_imported_is_told(pipelines: Path, tmp_path: Path) -> None:
    status = run(pipelines / "artifacts_run.yaml", tmp_path / "state", bucket="s3://mine")
    assert status.state is RunState.SUCCEEDED, status.message
    assert status.outputs == {"said": "s3://mine {{x}} $(v) é"}


def test_what_only_a_cluster_has_is_refused_when_submitted(pipelines: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PASSWORD from 'db'") as caught:
        run(pipelines / "pods.yaml", tmp_path / "state")
    assert caught.value.field == "task tick"


def wheel(folder: Path) -> Path:
    """Make a package of one module, without building anything."""
    path = folder / "tinypackage-1.0-py3-none-any.whl"
    about = "tinypackage-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tinypackage.py", "VALUE = 7\n")
        file.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tinypackage\nVersion: 1.0\n"
        )
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")
    return path


def installer(packages: Sequence[str]) -> str:
    words = " ".join(repr(package) for package in packages)
    own = "'kfp==2.17.0' '--no-deps' 'typing-extensions>=3.7.4,<5; python_version<\"3.9\"'"
    pip = "python3 -m pip install --quiet --no-warn-script-location"
    first = f"{pip} {words}  &&  " if packages else ""
    return f'\nPIP_DISABLE_PIP_VERSION_CHECK=1 {first}{pip} {own} && "$0" "$@"\n'


PROGRAM = ': kfp.dsl.executor_main; python3 -c "$0"'


def test_packages_go_into_an_environment_that_is_kept(tmp_path: Path) -> None:
    code = "import tinypackage, kfp, sys; print(tinypackage.VALUE, sys.prefix)"
    argv = ["sh", "-c", installer([str(wheel(tmp_path))]), "sh", "-ec", PROGRAM, code]
    command = function_command(argv)
    env = {"PATH": "/usr/bin:/bin", "COALMINE_STATE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    (first, second) = (
        subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    )
    assert first == second
    assert first.startswith(f"7 {tmp_path}/environments/")
    assert subprocess.run([sys.executable, "-c", "import tinypackage"], check=False).returncode


def test_what_the_sdk_asks_for_itself_is_here_already() -> None:
    assert packages_of(installer([])) == []
    wanted = ["numpy<2", "--index-url", "https://x/simple", "a b"]
    assert packages_of(installer(wanted)) == wanted
    argv = ["sh", "-c", installer([]), "sh", "-ec", PROGRAM, "code"]
    assert is_function(argv)
    assert sys.executable in " ".join(function_command(argv))
    assert not is_function(["python3", "-m", "kfp.dsl.executor_main"])
