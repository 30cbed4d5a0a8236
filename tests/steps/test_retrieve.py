from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from coalmine._base.errors import InputError
from coalmine.stack.layout import Layout
from coalmine.steps.contract import Surroundings
from coalmine.steps.retrieve import STEP, RetrieveInputs, retrieve
from coalmine.steps.runner import parse_inputs
from coalmine.stores.objects import open_objects
from coalmine.stores.select import select_push_store


def test_the_version_is_told_and_the_context_is_there(surroundings: Surroundings) -> None:
    outputs = retrieve(RetrieveInputs(name="iris"), surroundings)
    folder = Path(urlsplit(outputs.context).path)
    assert outputs.version == "v1"
    assert folder.parent == Layout(surroundings.state).contexts
    assert (folder / "models/iris_model/v1/model.yaml").is_file()


def test_the_second_time_it_says_that_it_was_there(
    surroundings: Surroundings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = retrieve(RetrieveInputs(name="iris", version="v1"), surroundings)
    assert caplog.messages == ["bento retrieved"]
    assert retrieve(RetrieveInputs(name="iris", version="latest"), surroundings) == first
    assert caplog.messages[1:] == ["bento was retrieved before"]


def test_another_store_can_be_named(surroundings: Surroundings, tmp_path: Path) -> None:
    home = Layout(surroundings.state).bento_home.rename(tmp_path / "elsewhere")
    inputs = RetrieveInputs(name="iris", store=home.as_uri())
    assert retrieve(inputs, surroundings).version == "v1"


def test_a_bento_that_is_not_there_changes_nothing(surroundings: Surroundings) -> None:
    with pytest.raises(InputError, match="no bento 'rose'"):
        retrieve(RetrieveInputs(name="rose"), surroundings)
    assert not Layout(surroundings.state).contexts.exists()


def test_processes_at_once_end_with_one_context(surroundings: Surroundings) -> None:
    command = [sys.executable, "-m", "coalmine", "step", "retrieve", "--name", "iris"]
    environ = os.environ | {"COALMINE_STATE": str(surroundings.state)}
    running = [
        subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    logs = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    ends = [json.loads(log.splitlines()[-1])["outputs"] for log in logs]
    assert len({end["context"] for end in ends}) == 1
    kept = [item.name for item in Layout(surroundings.state).contexts.glob("[!.]*")]
    assert len(kept) == 1


def test_wrong_input_ends_with_2_and_one_final_line(surroundings: Surroundings) -> None:
    command = [sys.executable, "-m", "coalmine", "step", "retrieve", "--name", "rose"]
    environ = os.environ | {"COALMINE_STATE": str(surroundings.state)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    last = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 2
    assert last["final"] is True
    assert last["fix"] == "release one of: iris"


@pytest.mark.integration
def test_a_bento_in_a_bucket_is_retrieved_once_and_known_from_then_on(
    surroundings: Surroundings, s3: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    own = retrieve(RetrieveInputs(name="iris"), surroundings)
    context = Path(urlsplit(own.context).path)
    select_push_store(s3).push(context, ("iris", "v1"))
    elsewhere = Surroundings(tmp_path / "elsewhere")
    first = retrieve(RetrieveInputs(name="iris", store=s3), elsewhere)
    assert first.version == "v1"
    assert first.context.rpartition("/")[2] == context.name
    assert retrieve(RetrieveInputs(name="iris", store=s3), elsewhere) == first
    assert caplog.messages[1:] == ["bento retrieved", "bento was retrieved before"]
    (context / "src" / "service.py").write_text("answer = 43\n")
    select_push_store(s3).push(context, ("iris", "v1"), replace=True)
    with pytest.raises(InputError, match=r"s3://.*/iris:v1 is not what it was on"):
        retrieve(RetrieveInputs(name="iris", store=s3), elsewhere)


LOADS = """import sys
def load(path):
    sys.path.insert(0, path + "/src")
    import service
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python whose one package is a stand-in for BentoML, so that importing takes no time."""
    home = tmp_path / "venv"
    packages = home / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    packages.mkdir(parents=True)
    (packages / "bentoml.py").write_text(LOADS)
    (home / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).parent}\n")  # type: ignore[attr-defined]
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    return home / "bin" / "python"


def _serves(surroundings: Surroundings, code: str) -> None:
    home = Layout(surroundings.state).bento_home
    (home / "bentos/iris/v1/src/service.py").write_text(code)


def _kept(surroundings: Surroundings) -> list[Path]:
    return list(Layout(surroundings.state).contexts.glob("[!.]*"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import petals", r"cannot be imported: .*line 1, in <module>; import petals; .*petals"),
        ("open(__file__ + '.new', 'w')", "the bento changes its own files when it is imported"),
    ],
)
def test_a_bento_whose_service_does_not_import_is_not_taken(
    surroundings: Surroundings, python: Path, code: str, said: str
) -> None:
    _serves(surroundings, code)
    inputs = RetrieveInputs(name="iris", check_import="60", import_python=str(python))
    with pytest.raises(InputError, match=said):
        retrieve(inputs, surroundings)
    assert _kept(surroundings) == []


def test_importing_leaves_no_bytecode_beside_the_service(
    surroundings: Surroundings, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    inputs = RetrieveInputs(name="iris", check_import="60", import_python=str(python))
    assert retrieve(inputs, surroundings).version == "v1"
    (context,) = _kept(surroundings)
    assert not list(context.rglob("*.pyc"))


def test_what_was_read_before_is_imported_when_that_is_asked_for(
    surroundings: Surroundings, python: Path
) -> None:
    _serves(surroundings, "import petals")
    retrieve(RetrieveInputs(name="iris"), surroundings)
    inputs = RetrieveInputs(name="iris", check_import="60", import_python=str(python))
    with pytest.raises(InputError, match="No module named 'petals'"):
        retrieve(inputs, surroundings)
    (context,) = _kept(surroundings)
    _serves(surroundings, "answer = 43")
    taken = retrieve(inputs, surroundings).context
    assert taken != context.as_uri()
    assert retrieve(inputs, surroundings).context == taken


@pytest.mark.integration
def test_nothing_is_sent_or_written_down_of_what_does_not_import(
    surroundings: Surroundings, python: Path, s3: str, tmp_path: Path
) -> None:
    _serves(surroundings, "1 / 0")
    here = Path(urlsplit(retrieve(RetrieveInputs(name="iris"), surroundings).context).path)
    select_push_store(f"{s3}/bentos").push(here, ("iris", "v1"))
    elsewhere = Surroundings(tmp_path / "elsewhere")
    inputs = RetrieveInputs(
        name="iris",
        store=f"{s3}/bentos",
        contexts=f"{s3}/contexts",
        check_import="60",
        import_python=str(python),
    )
    with pytest.raises(InputError, match="ZeroDivisionError"):
        retrieve(inputs, elsewhere)
    assert open_objects(s3, field="store").list("contexts") == []
    assert not Layout(elsewhere.state).known_bentos.exists()
    assert _kept(elsewhere) == []


def test_a_python_that_is_none_is_refused_before_anything_is_read(
    surroundings: Surroundings,
) -> None:
    inputs = RetrieveInputs(name="rose", check_import="60", import_python="/no/python")
    with pytest.raises(InputError, match=r"^import_python: '/no/python' is no program here"):
        retrieve(inputs, surroundings)


def test_build_has_a_variable_of_its_own() -> None:
    environ = {"COALMINE_CHECK_IMPORT": "60"}
    assert parse_inputs(STEP, {"name": "iris"}, environ).check_import == ""
    environ = {"COALMINE_RETRIEVE_CHECK_IMPORT": "60", "COALMINE_IMPORT_PYTHON": "python"}
    inputs = parse_inputs(STEP, {"name": "iris"}, environ)
    assert (inputs.check_import, inputs.import_python) == ("60", "python")
