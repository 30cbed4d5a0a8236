from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine._base.errors import InputError
from coalmine.serving.kserve.knative import KFSERVING, KSERVE
from coalmine.serving.kserve.schema import SCHEMA, faults
from coalmine.serving.kserve.template import load_template
from tests.kubeapi.store import Object
from tests.serving.kserve.conftest import V1, V2, V3, World
from tests.serving.kserve.controller import service_of
from tests.serving.kserve.test_knative import canary

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ["COALMINE_SHARED"])


def _file(folder: Path, body: Any) -> str:
    path = folder / "serving.yaml"
    path.write_text(yaml.safe_dump(body))
    return str(path)


def test_the_shipped_template_is_right() -> None:
    template = load_template(str(ROOT / "deploy/kserve/serving.yaml"))
    assert template is not None
    made = template.filled(KFSERVING, "iris", V1)
    assert (made["apiVersion"], made["metadata"]["name"]) == (KFSERVING.api, "iris")
    assert made["spec"]["predictor"]["containers"][0]["image"] == V1
    assert "image" not in template.body["spec"]["predictor"]["containers"][0]
    assert load_template("") is None


def _misspelt(body: dict[str, Any]) -> None:
    body["spec"]["predictor"]["minReplica"] = 1


def _deep(body: dict[str, Any]) -> None:
    body["spec"]["predictor"]["containers"][0]["ports"] = [{"containerport": 1}]


def _wrong_type(body: dict[str, Any]) -> None:
    body["spec"]["predictor"]["minReplicas"] = "one"


def _no_container(body: dict[str, Any]) -> None:
    body["spec"]["predictor"].pop("containers")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_misspelt, r"spec\.predictor: .*'minReplica'"),
        (_deep, r"containers\.0\.ports\.0: .*'containerport'"),
        (_wrong_type, r"minReplicas: 'one' is not of type 'integer'"),
        (_no_container, "no container that serves"),
    ],
)
def test_a_wrong_template_is_told_by_field(tmp_path: Path, spoil: Any, told: str) -> None:
    body = service_of("")
    spoil(body)
    with pytest.raises(InputError, match=told) as caught:
        load_template(_file(tmp_path, body))
    assert caught.value.field == "template"


@pytest.mark.parametrize("body", [{}, {"kind": "Deployment"}])
def test_what_is_no_service_is_refused(tmp_path: Path, body: Any) -> None:
    with pytest.raises(InputError, match=r"no (InferenceService|object of)"):
        load_template(_file(tmp_path, body))


def test_a_template_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_template(str(tmp_path / "none.yaml"))


@pytest.mark.soak
def test_the_schema_is_that_of_kserves_crd() -> None:
    crd = SHARED / "schemas" / "kserve" / "inferenceservices.yaml"
    if not crd.exists():
        pytest.skip("KServe's CRDs are not here")
    script = [sys.executable, str(ROOT / "scripts/compact-crd"), str(crd)]
    made = subprocess.run(script, capture_output=True, check=True, text=True)
    assert json.loads(made.stdout) == json.loads(SCHEMA.read_text())


def _applied(world: World) -> list[Object]:
    """Every InferenceService that a promoted and a rolled back release came through."""
    template = load_template(str(ROOT / "deploy/kserve/serving.yaml"))
    assert template is not None
    applied: list[Object] = []
    world.api.store.subscribe(lambda change: applied.append(change.object))
    backend = world.backend(template=template.body)
    for release, image in (("r1", V1), ("r2", V2)):
        canary(backend, image, release)
        backend.promote(service="iris", release_id=release)
    canary(backend, V3, "r3")
    backend.rollback(service="iris", release_id="r3")
    services = [item for item in applied if item["kind"] == KSERVE.kind]
    return [{k: v for k, v in item.items() if k != "status"} for item in services]


def test_what_is_applied_is_right_by_the_schema(world: World) -> None:
    applied = _applied(world)
    assert len(applied) > 5
    assert [faults(item) for item in applied] == [[]] * len(applied)


@pytest.mark.soak
def test_what_is_applied_passes_the_published_schemas(world: World, tmp_path: Path) -> None:
    check = SHARED / "bin" / "check-manifests"
    if not check.exists():
        pytest.skip("the checker of manifests is not here")
    path, applied = tmp_path / "all.yaml", _applied(world)
    path.write_text(yaml.safe_dump_all(applied))
    said = subprocess.run(
        [sys.executable, str(check), str(path)], capture_output=True, check=False, text=True
    )
    assert said.returncode == 0, said.stdout
    assert said.stdout.count(": ok") == len(applied)
