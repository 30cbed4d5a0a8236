"""The manifests of the launcher: what kubectl builds of them, and that their settings are real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from lightkube.codecs import from_dict
from lightkube.generic_resource import create_namespaced_resource

from coalmine.cli import cli
from coalmine.cli.launcher import command
from coalmine.launcher.access_file import load_access
from coalmine.launcher.bindings_file import load_bindings

DEPLOY = Path(__file__).parents[2] / "deploy"
ROOT = DEPLOY.parent
OVERLAYS = pytest.mark.parametrize("overlay", ["launcher", "launcher-postgres"])
create_namespaced_resource("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors")


def built(overlay: str) -> dict[str, dict[str, Any]]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on PATH")
    done = subprocess.run(
        [kubectl, "kustomize", DEPLOY / overlay], capture_output=True, check=True, timeout=60
    )
    return {one["kind"]: one for one in yaml.safe_load_all(done.stdout) if one}


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_empty(v) for k, v in value.items() if v not in (None, {}, [])}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


@OVERLAYS
def test_every_field_is_one_that_kubernetes_knows(overlay: str) -> None:
    for kind, manifest in built(overlay).items():
        read = from_dict(manifest).to_dict()  # type: ignore[no-untyped-call]
        assert without_empty(read) == without_empty(manifest), kind


@OVERLAYS
def test_checked_against_the_published_schemas(overlay: str, tmp_path: Path) -> None:
    checker = Path(os.environ["COALMINE_SHARED"]) / "bin" / "check-manifests"
    if not checker.is_file():
        pytest.skip(f"there is no {checker}")
    path = tmp_path / "built.yaml"
    path.write_text(yaml.safe_dump_all(built(overlay).values()))
    done = subprocess.run(
        [sys.executable, checker, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@OVERLAYS
def test_it_has_no_right_that_it_does_not_need(overlay: str) -> None:
    manifests = built(overlay)
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "ClusterRole" not in manifests
    rules = manifests["Role"]["rules"]
    assert all("*" not in [*rule["verbs"], *rule["resources"]] for rule in rules)
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind, path in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
        assert manifests[kind]["spec"][path]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    volumes = {one["name"] for one in pod["volumes"]}
    assert {one["name"] for one in container["volumeMounts"]} == volumes


@OVERLAYS
def test_its_settings_are_options_of_the_command(overlay: str) -> None:
    manifests = built(overlay)
    [container] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    known = {f"COALMINE_LAUNCHER_{p.name.upper()}" for p in command.params if p.name}
    names = {one["name"] for one in container["env"]}
    assert names <= known | {"COALMINE_STATE"}
    assert ("COALMINE_LAUNCHER_DATABASE" in names) == (overlay == "launcher-postgres")
    assert ("PersistentVolumeClaim" in manifests) == (overlay == "launcher")


@OVERLAYS
def test_its_rights_are_those_that_the_page_tells(overlay: str) -> None:
    page = (ROOT / "docs" / "engines.md").read_text()
    rows = re.findall(r"^\| (?:tekton|argo|both) \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    told = {
        (group.strip("`").replace("core", ""), resource.strip("`"), verb)
        for group, resource, verbs in rows
        for verb in verbs.split(", ")
    }
    granted = {
        (group, resource, verb)
        for rule in built(overlay)["Role"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == told


def test_the_pods_of_its_runs_are_let_in() -> None:
    [binding] = load_bindings(DEPLOY / "launcher" / "bindings.yaml")
    parts = yaml.safe_load_all((DEPLOY / "launcher" / "account.yaml").read_text())
    accounts = {one["metadata"]["name"] for one in parts if one["kind"] == "ServiceAccount"}
    assert f"{binding.pipeline}-run" in accounts
    # What Tekton puts beside a step says nothing of its rights, and neither do the steps:
    # "restricted" refuses both.
    [pipeline] = yaml.safe_load_all((ROOT / "compiled" / "tekton" / "release.yaml").read_text())
    steps = [step for task in pipeline["spec"]["tasks"] for step in task["taskSpec"]["steps"]]
    assert not all("securityContext" in step for step in steps)
    labels = built("launcher")["Namespace"]["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "baseline"}


def test_its_binding_as_the_page_has_it_for_a_cluster(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    more = re.findall(r"^      - \{name: .*$", page, re.MULTILINE)
    assert more
    path = tmp_path / "bindings.yaml"
    path.write_text((DEPLOY / "launcher" / "bindings.yaml").read_text() + "\n".join(more))
    [binding] = load_bindings(path)
    check = CliRunner().invoke(cli, ["bindings", "check", str(path)])
    assert check.exit_code == 0, check.output
    assert {"store", "contexts", "repository", "serving"} <= {
        one.name for one in binding.parameters
    }


def test_its_files_can_be_read(tmp_path: Path) -> None:
    [binding] = load_bindings(DEPLOY / "launcher" / "bindings.yaml")
    assert (binding.engine, binding.pipeline) == ("tekton", "release")
    token = tmp_path / "token"
    token.write_text("a-token-that-is-long-enough\n")
    text = (DEPLOY / "launcher" / "access.yaml").read_text()
    path = tmp_path / "access.yaml"
    (tmp_path / "tasks").write_text("another-token-that-is-long-enough\n")
    path.write_text(text.replace("/run/secrets/coalmine", str(tmp_path)))
    load_access(path, {}, "own-token-of-the-launcher")


def test_the_image_copies_what_is_there() -> None:
    lines = (ROOT / "Containerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--" not in line]
    assert copied
    for names in copied:
        assert all((ROOT / name).exists() for name in names)
