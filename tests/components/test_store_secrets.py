"""What lets a cluster's tasks reach buckets and registries: every compiled pipeline takes it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENTITLED = {"retrieve", "build"}
PIPELINES = ("release", "progressive", "release-buildah", "release-buildkit", "release-kaniko")


@pytest.fixture(params=["tekton", "argo"])
def built(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """All pipelines of a target, with the component, as kubectl makes them."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on PATH")
    for name in PIPELINES:
        shutil.copy(ROOT / "compiled" / request.param / f"{name}.yaml", tmp_path)
    shutil.copytree(ROOT / "deploy" / "stores" / request.param, tmp_path / "stores")
    overlay = {"resources": [f"{name}.yaml" for name in PIPELINES], "components": ["stores"]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    words = [kubectl, "kustomize", str(tmp_path)]
    return subprocess.run(words, capture_output=True, check=True, text=True, timeout=60).stdout


def _tasks(document: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Give each task's name, what may have volumes, and its container."""
    spec = document["spec"]
    if document["kind"] == "Pipeline":
        tasks = [*spec["tasks"], *spec["finally"]]
        return [(task["name"], task["taskSpec"], task["taskSpec"]["steps"][0]) for task in tasks]
    return [(one["name"], one, one["container"]) for one in spec["templates"] if "container" in one]


def test_the_tasks_that_read_and_build_have_the_secrets_and_no_other_has(
    built: str, check_manifest: Callable[[str], int]
) -> None:
    assert check_manifest(built) == len(PIPELINES)
    for document in yaml.safe_load_all(built):
        entitled = set()
        for name, task, container in _tasks(document):
            if "coalmine-stores" not in json.dumps(container):
                assert "secret" not in json.dumps(task).lower()
                continue
            entitled.add(name)
            assert container["envFrom"] == [
                {"secretRef": {"name": "coalmine-stores", "optional": True}}
            ]
            (mount,), (volume,) = container["volumeMounts"], task["volumes"]
            assert mount["name"] == volume["name"]
            assert mount["readOnly"]
            assert container["env"] == [{"name": "DOCKER_CONFIG", "value": mount["mountPath"]}]
            assert volume["secret"]["items"] == [
                {"key": ".dockerconfigjson", "path": "config.json"}
            ]
        assert entitled == ENTITLED


@pytest.mark.parametrize("name", PIPELINES)
def test_the_version_that_retrieve_resolves_is_the_one_that_every_later_task_sees(
    name: str,
) -> None:
    """``latest`` may mean another version by the time that a later task runs."""
    manifest = ROOT / "compiled" / "tekton" / f"{name}.yaml"
    (pipeline,) = yaml.safe_load_all(manifest.read_text())
    given = {
        task["name"]: {item["name"]: item["value"] for item in task.get("params", ())}
        for task in [*pipeline["spec"]["tasks"], *pipeline["spec"]["finally"]]
    }
    taking = {task for task, values in given.items() if "$(params.version)" in values.values()}
    assert taking == {"retrieve"}
    resolved = "$(tasks.retrieve.results.version)"
    assert {task for task, values in given.items() if resolved in values.values()} == {"canary"}
    assert given["build"]["context"] == "$(tasks.retrieve.results.context)"
