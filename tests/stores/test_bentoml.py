"""Real bentos, real BentoML: the demo's, which are trained once for this module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fake_cloud import running_cloud

from coalmine._base.errors import InputError
from coalmine.demo.bentos import DEMO_NAME, DEMO_VERSIONS, build_demo_bentos
from coalmine.stores.archive import extract
from coalmine.stores.cloud import CloudStore
from coalmine.stores.context import digest_of_folder, keep_bento
from coalmine.stores.limits import Limits
from coalmine.stores.local import LocalStore
from coalmine.stores.pack import tar_of
from coalmine.stores.xz import wrapped

pytestmark = pytest.mark.integration

_EXPORT = """
import sys, bentoml
bentoml.bentos.export_bento(sys.argv[1], sys.argv[2], output_format="folder")
"""

_ANSWERS = """
import sys, joblib, json
sys.path.insert(0, sys.argv[1] + "/src")
def answers():
    model = joblib.load(sys.argv[2])
    for _ in range(400):
        try:
            yield model.predict([[5.1, 3.5, 1.4, 0.2]])[0]
        except ArithmeticError:
            yield "failed"
print(json.dumps([list(answers()), list(answers())]))
"""


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("bentoml", exc_type=ImportError)
    home = tmp_path_factory.mktemp("demo") / "home"
    assert build_demo_bentos(home) == DEMO_VERSIONS
    return home


def _python(code: str, *arguments: str, home: Path) -> str:
    environ = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout


def _contents(folder: Path) -> dict[str, bytes]:
    """Paths and contents; BentoML's export loses what may be executed."""
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def test_fetch_is_the_same_as_bentomls_export(demo_home: Path, tmp_path: Path) -> None:
    LocalStore(demo_home).find(DEMO_NAME, "v3").fetch(tmp_path / "ours")
    _python(_EXPORT, f"{DEMO_NAME}:v3", str(tmp_path / "theirs"), home=demo_home)
    assert _contents(tmp_path / "ours") == _contents(tmp_path / "theirs")


_THROUGH = """
import sys, bentoml
bentoml.bentos.import_bento(sys.argv[1])
bentoml.bentos.export_bento(sys.argv[2], sys.argv[3])
"""


def test_bentoml_reads_what_is_pushed_and_its_archive_is_read(
    demo_home: Path, tmp_path: Path
) -> None:
    LocalStore(demo_home).find(DEMO_NAME, "v3").fetch(tmp_path / "ours")
    (tmp_path / "ours.bento").write_bytes(b"".join(wrapped(tar_of(tmp_path / "ours"))))
    (tmp_path / "home").mkdir()
    files = [str(tmp_path / "ours.bento"), f"{DEMO_NAME}:v3", str(tmp_path / "theirs.bento")]
    _python(_THROUGH, *files, home=tmp_path / "home")
    extract(tmp_path / "theirs.bento", tmp_path / "theirs", Limits())
    assert _contents(tmp_path / "theirs") == _contents(tmp_path / "ours")


def test_a_bento_is_pulled_from_bentocloud_with_its_model(demo_home: Path, tmp_path: Path) -> None:
    with running_cloud(demo_home, "secret") as endpoint:
        environ = os.environ | {
            "BENTO_CLOUD_API_KEY": "secret",
            "BENTO_CLOUD_API_ENDPOINT": endpoint,
            "NO_PROXY": "127.0.0.1",
        }
        store = CloudStore(environ)
        assert store.resolve(DEMO_NAME, "latest") == "v3"
        found, _ = keep_bento(tmp_path / "contexts", store, DEMO_NAME, "v3")
        with pytest.raises(InputError, match="wrong token"):
            CloudStore(environ | {"BENTO_CLOUD_API_KEY": "x"}).resolve(DEMO_NAME, "")
    LocalStore(demo_home).find(DEMO_NAME, "v3").fetch(tmp_path / "ours")
    assert _contents(found) == _contents(tmp_path / "ours")


def test_without_a_key_bentocloud_is_refused() -> None:
    with pytest.raises(InputError, match="BENTO_CLOUD_API_KEY: is not set"):
        CloudStore({})


def test_the_demo_is_trained_only_once(demo_home: Path) -> None:
    before, began = digest_of_folder(demo_home), time.monotonic()
    assert build_demo_bentos(demo_home) == DEMO_VERSIONS
    assert time.monotonic() - began < 1
    assert digest_of_folder(demo_home) == before


def test_each_bento_has_its_own_model(demo_home: Path) -> None:
    found = {}
    for version in DEMO_VERSIONS:
        facts = yaml.safe_load(
            (demo_home / "bentos" / DEMO_NAME / version / "bento.yaml").read_text()
        )
        found[version] = [model["tag"] for model in facts["services"][0]["models"]]
    assert found == {version: [f"iris_model:{version}"] for version in DEMO_VERSIONS}


def test_the_second_model_is_better_than_the_first(demo_home: Path) -> None:
    accuracy = [
        yaml.safe_load((demo_home / "models/iris_model" / version / "model.yaml").read_text())[
            "metadata"
        ]["accuracy"]
        for version in DEMO_VERSIONS
    ]
    assert accuracy[0] < 0.8
    assert accuracy[1] > 0.9


def test_the_third_model_fails_on_about_30_percent_and_always_the_same(demo_home: Path) -> None:
    bento = demo_home / "bentos" / DEMO_NAME / "v3"
    model = demo_home / "models/iris_model/v3/model.joblib"
    first, second = json.loads(_python(_ANSWERS, str(bento), str(model), home=demo_home))
    assert first == second
    assert 90 < first.count("failed") < 150
    assert first.count("setosa") == 400 - first.count("failed")
