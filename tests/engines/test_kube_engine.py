"""Engines on an API server: what they send, and what they do when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from coalmine._base.errors import InputError
from coalmine.cli import cli
from coalmine.engines.callback import Callback
from coalmine.engines.kube.connect import connect
from coalmine.engines.kube.dialect import name_of
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.protocol import RunState
from coalmine.engines.settings import EngineSettings
from tests.engines.kubefix import DIALECTS, KINDS, make_engine, request, runs_of, say, wait_ended
from tests.engines.replay import RUN
from tests.kubeapi.server import KubeApi

ENGINES = tuple(KINDS)


def test_a_run_submitted_twice_is_one(api: KubeApi, engine: KubeEngine, tmp_path: Path) -> None:
    engine.submit(request())
    engine.submit(request())
    other = make_engine(api, tmp_path, engine.name)
    other.submit(request())
    (run,) = runs_of(api, engine)
    labels = {"release": RUN, "service": "iris", "version": "v2"}
    assert run["metadata"]["labels"] == {f"coalmine.dev/{k}": v for k, v in labels.items()}
    status = other.status(RUN)
    assert status is not None
    assert status.state is RunState.PENDING
    other.close()


def test_a_run_carries_its_pipeline_and_its_values(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request(policy='{"a": "it\'s; $x `y`"}', percent="5"))
    (run,) = runs_of(api, engine)
    spec = run["spec"]
    if engine.name == "tekton":
        given = spec["params"]
        assert [task["name"] for task in spec["pipelineSpec"]["finally"]] == ["finalize"]
        assert spec["timeouts"] == {"pipeline": "0"}
        assert spec["taskRunTemplate"] == {"serviceAccountName": "release-run"}
    else:
        given = spec["arguments"]["parameters"]
        assert (spec["onExit"], spec["entrypoint"]) == ("finalize", "pipeline")
        assert spec["serviceAccountName"] == "release-run"
    values = {one["name"]: one["value"] for one in given}
    assert values["policy"] == '{"a": "it\'s; $x `y`"}'
    assert (values["percent"], values["release_id"]) == ("5", RUN)


def test_runs_are_valid_to_the_published_schemas(
    api: KubeApi, tmp_path: Path, check_manifest: Callable[[str], int]
) -> None:
    runs = []
    for name in ENGINES:
        engine = make_engine(api, tmp_path, name, callback=Callback("http://c:8080", "token"))
        engine.submit(request())
        (run,) = runs_of(api, engine)
        metadata = {key: run["metadata"][key] for key in ("name", "labels")}
        alone = DIALECTS[name]().exit_alone(run, metadata)
        runs += [{**run, "metadata": metadata}, alone]
        engine.close()
    assert check_manifest(yaml.safe_dump_all(runs)) == 4


@pytest.mark.parametrize("name", ENGINES)
def test_a_run_may_name_a_pipeline_in_the_cluster(api: KubeApi, tmp_path: Path, name: str) -> None:
    engine = make_engine(api, tmp_path, name, embedded=False)
    engine.submit(request())
    (run,) = runs_of(api, engine)
    reference = {"tekton": "pipelineRef", "argo": "workflowTemplateRef"}[name]
    assert run["spec"][reference] == {"name": "release"}
    assert {"pipelineSpec", "templates"}.isdisjoint(run["spec"])
    engine.close()


@pytest.mark.parametrize(
    "value",
    ["$(params.x)", "$(cat /etc/passwd)", "a$$b", "ends in $", "$(context.pipelineRun.name)"],
)
def test_values_that_the_engine_would_replace_reach_nothing(
    api: KubeApi, engine: KubeEngine, value: str
) -> None:
    with pytest.raises(InputError, match="would replace"):
        engine.submit(request(policy=value))
    assert api.said("POST") == []


@pytest.mark.parametrize("value", ["{{workflow.name}}", "{{=1+1}}", "x{{", "ends in {"])
def test_braces_reach_tekton_alone(api: KubeApi, engine: KubeEngine, value: str) -> None:
    if engine.name == "argo":
        with pytest.raises(InputError, match="would replace"):
            engine.submit(request(policy=value))
    else:
        engine.submit(request(policy=value))
        assert {"name": "policy", "value": value} in runs_of(api, engine)[0]["spec"]["params"]


def test_what_the_pipeline_does_not_take_is_refused(api: KubeApi, engine: KubeEngine) -> None:
    with pytest.raises(InputError, match="does not take: colour"):
        engine.submit(request(colour="red"))
    assert api.said("POST") == []


def test_what_is_asked_of_a_run_costs_no_request(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request())
    asked = len(api.said("GET", name_of(RUN)))
    for _ in range(10):
        assert engine.status(RUN)
    assert len(api.said("GET", name_of(RUN))) == asked


def test_a_run_that_nobody_made_is_not_known(engine: KubeEngine) -> None:
    assert engine.status("nobody") is None
    assert engine.logs("nobody", "gate") == b""


def test_a_cancelled_run_still_runs_its_exit_task(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request())
    engine.cancel(RUN)
    engine.cancel(RUN)
    (run,) = runs_of(api, engine)
    wanted = {"tekton": ("status", "CancelledRunFinally"), "argo": ("shutdown", "Stop")}
    key, value = wanted[engine.name]
    assert run["spec"][key] == value


def test_a_run_that_has_ended_is_left_as_it_is(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request())
    say(api, engine, "True")
    engine.cancel(RUN)
    assert api.said("PATCH") == []
    assert wait_ended(engine).state is RunState.SUCCEEDED


def test_a_run_cancelled_before_it_was_submitted_ends_as_soon_as_it_is(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.cancel(RUN)
    engine.submit(request())
    assert len(api.said("PATCH", name_of(RUN))) == 1


def test_doctor_says_whether_runs_could_be_made(api: KubeApi, tmp_path: Path) -> None:
    config = str(api.kubeconfig(tmp_path / "kubeconfig", "ci"))
    words = ["doctor", "--engine", "tekton", "--engine", "argo", "--kubeconfig", config]
    words += ["-o", "json", "--state", str(tmp_path)]

    def asked() -> dict[str, dict[str, str]]:
        said = json.loads(CliRunner().invoke(cli, words).stdout)
        return {one["name"]: one for one in said["checks"]}

    assert asked()["argo"]["found"] == f"Kubernetes v1.36.2 at {api.url}, in ci"
    api.app.denied = {"create", "patch"}
    assert "may not create, patch pipelineruns in ci" in asked()["tekton"]["fix"]


def test_a_context_that_is_not_there_is_told(api: KubeApi, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path / "kubeconfig")
    with pytest.raises(InputError, match="--kubeconfig"):
        connect(EngineSettings(kubeconfig=path, context="nowhere"))
    with pytest.raises(InputError, match="--kubeconfig"):
        connect(EngineSettings(kubeconfig=tmp_path / "absent"))


@pytest.mark.parametrize("text", ["- a list", "x: [", "users: {token: s3cret", "", "a", "users: 1"])
def test_what_is_no_kubeconfig_is_told_without_what_it_holds(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(InputError, match="no API server of Kubernetes is known") as caught:
        connect(EngineSettings(kubeconfig=path))
    assert "s3cret" not in str(caught.value)
