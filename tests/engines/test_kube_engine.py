"""Engines on an API server: what they send, and what they do when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.engines.callback import Callback
from coalmine.engines.kube.client import connect
from coalmine.engines.kube.dialect import name_of
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.protocol import BusyError, RunState
from coalmine.engines.settings import EngineSettings
from tests.engines.kubefix import make_engine, request, until, wait_ended
from tests.engines.replay import RUN, play
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.kinds import Kind, kind_of
from tests.kubeapi.server import KubeApi, serve
from tests.kubeapi.status import denied, forbidden, too_many

KINDS = {
    "tekton": kind_of("tekton.dev/v1", "PipelineRun"),
    "argo": kind_of("argoproj.io/v1alpha1", "Workflow"),
}
ENGINES = tuple(KINDS)


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serve() as running:
        running.app.bookmark_every = 0.05
        yield running


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, api: KubeApi, tmp_path: Path) -> Iterator[KubeEngine]:
    made = make_engine(api, tmp_path, request.param)
    made.open()
    yield made
    made.close()


def _runs(api: KubeApi, engine: KubeEngine) -> list[dict[str, Any]]:
    return api.store.list(KINDS[engine.name], "ci")[0]


def _say(api: KubeApi, engine: KubeEngine, state: str) -> None:
    (run,) = _runs(api, engine)
    reason = {"type": "Succeeded", "status": state, "reason": "r", "message": "m"}
    phase = {"True": "Succeeded", "False": "Failed", "Unknown": "Running"}[state]
    status = {"conditions": [reason]} if engine.name == "tekton" else {"phase": phase}
    api.store.set_status(run, status)


def _kind(engine: KubeEngine) -> Kind:
    return KINDS[engine.name]


def test_a_run_submitted_twice_is_one(api: KubeApi, engine: KubeEngine, tmp_path: Path) -> None:
    engine.submit(request())
    engine.submit(request())
    other = make_engine(api, tmp_path, engine.name)
    other.submit(request())
    (run,) = _runs(api, engine)
    labels = {"release": RUN, "service": "iris", "version": "v2"}
    assert run["metadata"]["labels"] == {f"coalmine.dev/{k}": v for k, v in labels.items()}
    status = other.status(RUN)
    assert status is not None
    assert status.state is RunState.PENDING
    other.close()


@pytest.mark.parametrize("reset", Reset)
def test_an_answer_that_is_lost_makes_no_second_run(
    api: KubeApi, engine: KubeEngine, reset: Reset
) -> None:
    api.faults.add(Fault("POST", _kind(engine).plural, reset=reset))
    with pytest.raises(CoalmineError, match="does not answer"):
        engine.submit(request())
    assert bool(engine.status(RUN)) is (reset is Reset.AFTER)
    engine.submit(request())
    assert len(_runs(api, engine)) == 1


def test_a_run_carries_its_pipeline_and_its_values(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request(policy='{"a": "it\'s; $x `y`"}', percent="5"))
    (run,) = _runs(api, engine)
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


def test_runs_are_valid_to_the_published_schemas(api: KubeApi, tmp_path: Path) -> None:
    checker = Path(os.environ.get("COALMINE_SHARED", "/nowhere")) / "bin" / "check-manifests"
    if not checker.is_file():
        pytest.skip("the published schemas are not here")
    runs = []
    for name in ENGINES:
        engine = make_engine(api, tmp_path, name, callback=Callback("http://c:8080", "token"))
        engine.submit(request())
        (run,) = _runs(api, engine)
        runs.append({**run, "metadata": {k: run["metadata"][k] for k in ("name", "labels")}})
        engine.close()
    path = tmp_path / "runs.yaml"
    path.write_text(yaml.safe_dump_all(runs))
    command = [sys.executable, str(checker), str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, "skipped" in done.stdout) == (0, False), done.stdout


@pytest.mark.parametrize("name", ENGINES)
def test_a_run_may_name_a_pipeline_in_the_cluster(api: KubeApi, tmp_path: Path, name: str) -> None:
    engine = make_engine(api, tmp_path, name, embedded=False)
    engine.submit(request())
    (run,) = _runs(api, engine)
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
        assert {"name": "policy", "value": value} in _runs(api, engine)[0]["spec"]["params"]


def test_what_the_pipeline_does_not_take_is_refused(api: KubeApi, engine: KubeEngine) -> None:
    with pytest.raises(InputError, match="does not take: colour"):
        engine.submit(request(colour="red"))
    assert api.said("POST") == []


def test_a_server_with_too_much_to_do_says_when_to_come_again(
    api: KubeApi, engine: KubeEngine
) -> None:
    api.faults.add(Fault("POST", _kind(engine).plural, too_many(7)))
    with pytest.raises(BusyError) as busy:
        engine.submit(request())
    assert busy.value.retry_after == 7
    engine.submit(request())
    assert len(_runs(api, engine)) == 1


def test_an_object_that_is_refused_is_wrong_input(api: KubeApi, engine: KubeEngine) -> None:
    refusal = denied("validation.webhook", "missing field(s): spec.tasks", 400)
    api.faults.add(Fault("POST", _kind(engine).plural, refusal))
    with pytest.raises(InputError, match="missing field"):
        engine.submit(request())


def test_a_right_that_is_missing_may_come(api: KubeApi, engine: KubeEngine) -> None:
    refusal = forbidden(_kind(engine), "create", "ci", "someone")
    api.faults.add(Fault("POST", _kind(engine).plural, refusal))
    with pytest.raises(CoalmineError, match="cannot create resource") as found:
        engine.submit(request())
    assert not isinstance(found.value, InputError)
    assert "docs/engines.md" in found.value.fix


def test_a_run_is_followed_through_forgotten_versions_and_broken_watches(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())
    plural = _kind(engine).plural
    until(lambda: api.said("GET", f"{plural}?watch=1"))
    api.faults.add(Fault("GET", "watch=1", reset=Reset.BEFORE))
    api.faults.add(Fault("GET", "watch=1", too_many(0)))
    _say(api, engine, "Unknown")

    def runs() -> bool:
        status = engine.status(RUN)
        return bool(status and status.state is RunState.RUNNING)

    until(runs)
    api.store.compact()
    _say(api, engine, "True")
    assert wait_ended(engine).state is RunState.SUCCEEDED


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
    (run,) = _runs(api, engine)
    wanted = {"tekton": ("status", "CancelledRunFinally"), "argo": ("shutdown", "Stop")}
    key, value = wanted[engine.name]
    assert run["spec"][key] == value


def test_a_run_that_has_ended_is_left_as_it_is(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request())
    _say(api, engine, "True")
    engine.cancel(RUN)
    assert api.said("PATCH") == []
    assert wait_ended(engine).state is RunState.SUCCEEDED


def test_a_run_that_ends_while_it_is_cancelled_is_no_error(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())

    def ended_meanwhile() -> Any:
        _say(api, engine, "True")
        return denied("validation.webhook", "Once the PipelineRun is complete, no updates", 400)

    api.faults.add(Fault("PATCH", name_of(RUN), ended_meanwhile))
    engine.cancel(RUN)
    assert wait_ended(engine).state is RunState.SUCCEEDED


def test_a_run_cancelled_before_it_was_submitted_ends_as_soon_as_it_is(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.cancel(RUN)
    engine.submit(request())
    assert len(api.said("PATCH", name_of(RUN))) == 1


@pytest.mark.parametrize(
    ("name", "pod", "container"),
    [
        ("tekton", "coalmine-r1-gate-pod", "step-main"),
        ("argo", "coalmine-r1-gate-", "main"),
    ],
)
def test_logs_come_from_the_pod(
    api: KubeApi, tmp_path: Path, name: str, pod: str, container: str
) -> None:
    engine = make_engine(api, tmp_path, name)
    engine.open()
    for _ in play(api, f"{name}-promote"):
        pass
    assert wait_ended(engine).state is RunState.SUCCEEDED
    engine.logs(RUN, "gate")
    path = api.said("GET", "/log")[-1][0]
    found = path.partition("/pods/")[2].partition("/")[0]
    assert found.startswith(pod)
    api.app.logs["ci", found, container] = "one\ntwo\n"
    assert engine.logs(RUN, "gate") == b"one\ntwo\n"
    assert engine.logs(RUN, "gate", 4) == b"two\n"
    assert engine.logs(RUN, "rollback") == b""
    engine.close()


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


def test_a_token_is_shown(api: KubeApi, tmp_path: Path) -> None:
    api.app.token = "secret"
    engine = make_engine(api, tmp_path, "tekton")
    engine.submit(request())
    assert len(_runs(api, engine)) == 1
    api.app.token = "another"
    with pytest.raises(CoalmineError, match="401"):
        engine.submit(request())
    engine.close()


def test_a_context_that_is_not_there_is_told(api: KubeApi, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path / "kubeconfig")
    with pytest.raises(InputError, match="--kubeconfig"):
        connect(EngineSettings(kubeconfig=path, context="nowhere"))
    with pytest.raises(InputError, match="--kubeconfig"):
        connect(EngineSettings(kubeconfig=tmp_path / "absent"))


def test_a_server_that_is_away_is_told_of(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request())
    api.faults.add(Fault("GET", "", too_many(0), times=None))
    with pytest.raises(CoalmineError):
        engine.status("other")
