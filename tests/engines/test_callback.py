"""What tasks on a cluster are told of their launcher: its URL, and the token to show there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubeflow import serve_kubeflow

from coalmine._base.errors import InputError
from coalmine.compiler.ir import read_graph
from coalmine.engines.callback import Callback, read_callback
from coalmine.engines.kfp.api import KfpApi
from coalmine.engines.kfp.engine import KfpEngine, name_of
from coalmine.engines.open import make_engine
from coalmine.engines.settings import EngineSettings
from tests.engines import pods
from tests.engines.kubefix import RELEASE_IR, read_once, request
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi, serve

URL = "http://coalmine-launcher.coalmine:8080"
KINDS = {
    "tekton": kind_of("tekton.dev/v1", "PipelineRun"),
    "argo": kind_of("argoproj.io/v1alpha1", "Workflow"),
}
SECRETS = {"coalmine-token": {"tasks": base64.b64encode(b"secret").decode()}}
CALLBACK = Callback(URL, "coalmine-token", "tasks")
PROGRESSIVE = RELEASE_IR.with_name("progressive.yaml")
WIRED = {"canary": "iris-2", "stable": "iris-1", "since": "2026-01-31T12:00:00Z"}


@pytest.fixture(scope="module")
def api() -> Iterator[KubeApi]:
    with serve() as running:
        yield running


def _run(api: KubeApi, folder: Path, name: str) -> dict[str, Any]:
    settings = EngineSettings(
        kubeconfig=api.kubeconfig(folder / "kubeconfig", "ci"),
        tasks_url=URL,
        tasks_secret="coalmine-token/tasks",
    )
    engine = make_engine(name, settings, read_once)
    made = replace(request(name, launcher_url="http://elsewhere"), pipeline=PROGRESSIVE)
    engine.submit(made)
    engine.close()
    return api.store.get(KINDS[name], "ci", name_of(name))


@pytest.mark.parametrize("task", ["gate", "gate-2", "gate-3"])
def test_every_gate_on_kubernetes_knows_its_launcher(
    api: KubeApi, tmp_path: Path, task: str
) -> None:
    run = _run(api, tmp_path, "tekton")
    found = pods.tekton(run, task, {}, {}, SECRETS)
    assert (found.after("--launcher-url"), found.env) == (URL, {"COALMINE_TOKEN": "secret"})
    run = _run(api, tmp_path, "argo")
    found = pods.argo(run, task, {}, SECRETS)
    assert (found.after("--launcher-url"), found.env) == (URL, {"COALMINE_TOKEN": "secret"})


def test_no_other_task_has_the_token(api: KubeApi, tmp_path: Path) -> None:
    run = _run(api, tmp_path, "tekton")
    spec = run["spec"]["pipelineSpec"]
    for task in (*spec["tasks"], *spec["finally"]):
        assert ("COALMINE_TOKEN" in json.dumps(task)) is task["name"].startswith("gate")
    for template in _run(api, tmp_path, "argo")["spec"]["templates"]:
        assert ("COALMINE_TOKEN" in json.dumps(template)) is template["name"].startswith("gate")


def test_every_gate_on_kubeflow_pipelines_knows_its_launcher() -> None:
    with serve_kubeflow() as kubeflow:
        engine = KfpEngine(KfpApi(kubeflow.url), read_graph, callback=CALLBACK)
        engine.submit(replace(request("r1"), pipeline=PROGRESSIVE))
        (run,) = kubeflow.named(name_of("r1"))
        version = kubeflow.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
        for component in ("gate", "gate-2", "gate-3"):
            found = pods.kfp(version, run, component, WIRED, SECRETS)
            assert (found.after("--launcher-url"), found.env) == (URL, {"COALMINE_TOKEN": "secret"})
        assert pods.kfp(version, run, "finalize", {}, SECRETS).env == {}
        # Another launcher reads back from there what it needs.
        other = KfpEngine(KfpApi(kubeflow.url), read_graph)
        status = other.status("r1")
        assert status is not None
        assert status.tasks[-1].name == "finalize"
        other.close()
        engine.close()


def test_where_there_is_no_launcher_to_ask_nothing_changes() -> None:
    graph, none = read_once(RELEASE_IR), Callback()
    assert none.equipped(graph) is graph
    assert none.told(graph, {"launcher_url": "http://elsewhere"})["launcher_url"] != URL
    assert Callback(URL).equipped(graph) is graph
    # A pipeline that does not take the URL is not given it.
    other = replace(graph, parameters=graph.parameters[:2], tasks=(), exit_task=None)
    assert CALLBACK.told(other, {}) == {}
    assert CALLBACK.equipped(other) is other


@pytest.mark.parametrize(
    ("url", "secret", "field"),
    [
        ("coalmine-launcher:8080", "", "--tasks-url"),
        ("http://", "", "--tasks-url"),
        ("http://[", "", "--tasks-url"),
        ("", "coalmine-token", "--tasks-secret"),
        (URL, "Coalmine", "--tasks-secret"),
        (URL, "a/b/c", "--tasks-secret"),
        (URL, "a/", "--tasks-secret"),
    ],
)
def test_settings_that_cannot_be_are_refused(url: str, secret: str, field: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_callback(url, secret)
    assert refusal.value.field == field
    assert refusal.value.fix


def test_settings_are_read() -> None:
    assert read_callback("", "") == Callback()
    assert read_callback(URL, "coalmine-token") == Callback(URL, "coalmine-token", "token")
    assert read_callback(URL, "coalmine-token/tasks") == CALLBACK


def test_a_pipeline_of_the_cluster_cannot_be_given_a_token(api: KubeApi, tmp_path: Path) -> None:
    settings = EngineSettings(
        kubeconfig=api.kubeconfig(tmp_path / "kubeconfig"),
        embedded=False,
        tasks_url=URL,
        tasks_secret="coalmine-token",
    )
    with pytest.raises(InputError, match="cannot be given the token") as refusal:
        make_engine("tekton", settings, read_once)
    assert refusal.value.field == "--tasks-secret"
