"""The engine of Kubeflow Pipelines, on a server that speaks its API."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubeflow import Kubeflow, serve_kubeflow

from coalmine._base.errors import InputError
from coalmine.engines.kfp.api import KfpApi
from coalmine.engines.kfp.engine import KfpEngine, name_of
from coalmine.engines.kfp.package import exit_only, uncached
from coalmine.engines.protocol import RunState, TaskState
from coalmine.launcher.facts import final_state, read_facts
from coalmine.launcher.release import ReleaseState
from tests.engines.kubefix import RELEASE_IR, read_once, request

NAME = name_of("r1")
JUDGED = {"retrieve": "SUCCEEDED", "build": "SUCCEEDED", "canary": "SUCCEEDED", "gate": "SUCCEEDED"}


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    with serve_kubeflow() as running:
        yield running


def _engine(kubeflow: Kubeflow, token: Path | None = None) -> KfpEngine:
    return KfpEngine(KfpApi(kubeflow.url, token_file=token), read_once, poll=0.0)


@pytest.fixture
def engine(kubeflow: Kubeflow) -> Iterator[KfpEngine]:
    made = _engine(kubeflow)
    yield made
    made.close()


def test_a_run_submitted_twice_is_one(kubeflow: Kubeflow, engine: KfpEngine) -> None:
    other = _engine(kubeflow)
    engine.submit(request())
    engine.submit(request())
    other.submit(request())
    (run,) = kubeflow.named(NAME)
    given = run["runtime_config"]["parameters"]
    assert given == {"release_id": "r1", "service": "iris", "name": "iris", "version": "v2"}
    status = other.status("r1")
    assert status is not None
    assert status.state is RunState.PENDING
    assert [task.name for task in status.tasks][-1] == "finalize"
    other.close()


def test_a_pipeline_is_uploaded_once_for_each_digest(
    kubeflow: Kubeflow, engine: KfpEngine, tmp_path: Path
) -> None:
    for number in range(3):
        engine.submit(request(f"r{number}"))
    other = _engine(kubeflow)
    other.submit(request("r9"))
    other.close()
    assert len(kubeflow.said("POST", "upload_version")) == 1
    assert (len(kubeflow.pipelines), len(kubeflow.experiments)) == (1, 1)
    changed = tmp_path / "release.yaml"
    changed.write_text(RELEASE_IR.read_text().replace("maxRetryCount: 5", "maxRetryCount: 4"))
    made = request("r4")
    engine.submit(type(made)(made.run_id, changed, made.parameters))
    assert len(kubeflow.versions) == 2


@pytest.mark.parametrize(
    "value", ["{{workflow.name}}", "$(params.x)", "a$$", "{{$.inputs}}", "[[RunUUID]]"]
)
def test_values_that_would_be_replaced_reach_nothing(
    kubeflow: Kubeflow, engine: KfpEngine, value: str
) -> None:
    with pytest.raises(InputError, match="would replace"):
        engine.submit(request(policy=value))
    assert kubeflow.asked == []


@pytest.mark.parametrize(
    ("state", "tasks", "end"),
    [
        ("SUCCEEDED", {"promote": "SUCCEEDED", "rollback": "SKIPPED"}, ReleaseState.PROMOTED),
        ("SUCCEEDED", {"rollback": "SUCCEEDED", "promote": "SKIPPED"}, ReleaseState.ROLLED_BACK),
        ("FAILED", {"promote": "FAILED"}, ReleaseState.FAILED),
    ],
)
def test_what_a_release_came_to_follows_from_which_task_ran(
    kubeflow: Kubeflow, engine: KfpEngine, state: str, tasks: dict[str, str], end: ReleaseState
) -> None:
    engine.submit(request())
    kubeflow.say(NAME, state, "it broke", **JUDGED, **tasks, finalize="SUCCEEDED")
    status = engine.status("r1")
    assert status is not None
    facts = read_facts(status.tasks)
    assert final_state(status, facts) is end
    assert facts.verdict == ("promote" if end is ReleaseState.PROMOTED else "")
    assert status.tasks[0].started is not None


def test_a_terminated_run_has_its_exit_task_run_by_another(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    engine.submit(request())
    kubeflow.say(NAME, "RUNNING", canary="RUNNING")
    engine.cancel("r1")
    assert kubeflow.named(NAME)[0]["state"] == "CANCELING"
    kubeflow.say(NAME, "CANCELED", canary="CANCELED")
    for _ in range(3):
        status = engine.status("r1")
        assert status is not None
        assert status.state is RunState.RUNNING
    (after,) = kubeflow.named(f"{NAME}-exit")
    assert after["runtime_config"]["parameters"]["release_id"] == "r1"
    version = kubeflow.versions[after["pipeline_version_reference"]["pipeline_version_id"]]
    spec = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
    assert list(spec["root"]["dag"]["tasks"]) == ["finalize"]
    kubeflow.say(f"{NAME}-exit", "SUCCEEDED", finalize="SUCCEEDED")
    restarted = _engine(kubeflow)
    status = restarted.status("r1")
    restarted.close()
    assert status is not None
    assert status.state is RunState.CANCELLED
    states = {task.name: task.state for task in status.tasks}
    assert states["canary"] is TaskState.CANCELLED
    assert states["finalize"] is TaskState.SUCCEEDED


def test_a_run_cancelled_before_it_was_submitted_ends_as_soon_as_it_is(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    engine.cancel("r1")
    engine.submit(request())
    assert kubeflow.named(NAME)[0]["state"] == "CANCELING"


def test_what_was_told_is_told_again_for_a_while(kubeflow: Kubeflow) -> None:
    now = [0.0]
    engine = KfpEngine(KfpApi(kubeflow.url), read_once, monotonic=lambda: now[0])
    engine.submit(request())
    for _ in range(5):
        engine.status("r1")
    asked = len(kubeflow.asked)
    engine.status("r1")
    assert len(kubeflow.asked) == asked
    now[0] = 4.0
    engine.status("r1")
    assert len(kubeflow.asked) == asked + 1
    engine.close()


def test_what_is_no_api_is_told(engine: KfpEngine) -> None:
    assert engine.logs("r1", "gate") == b""
    with pytest.raises(InputError, match="--kfp-host"):
        KfpApi("ml-pipeline:8888")


def test_no_task_is_cached() -> None:
    text = RELEASE_IR.read_text()
    assert uncached(text) == text
    cached = text.replace("cachingOptions: {}", "cachingOptions: {enableCache: true}")
    assert cached != text
    assert "enableCache: true" not in uncached(cached)
    assert list(yaml.safe_load_all(uncached(cached))) == list(yaml.safe_load_all(text))


def test_an_exit_task_that_takes_more_than_parameters_is_not_run_alone() -> None:
    text = RELEASE_IR.read_text()
    assert exit_only(text, "nobody") is None
    before, finalize, rest = text.rpartition("\n      finalize:\n")
    asks = (
        before
        + finalize
        + rest.replace(
            "componentInputParameter: service\n", "taskFinalStatus: {producerTask: x}\n", 1
        )
    )
    assert asks != text
    assert exit_only(asks, "finalize") is None
    assert exit_only(text, "finalize") is not None


def test_the_sdks_own_client_reads_what_we_made(kubeflow: Kubeflow, engine: KfpEngine) -> None:
    """Holds the server of these tests, and so the engine, against a client that is not ours."""
    import kfp_server_api  # noqa: PLC0415

    engine.submit(request())
    config = kfp_server_api.Configuration(host=kubeflow.url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client = kfp_server_api.ApiClient(config)
        runs = kfp_server_api.RunServiceApi(client).run_service_list_runs()
        found = kfp_server_api.PipelineServiceApi(client).pipeline_service_list_pipeline_versions(
            runs.runs[0].pipeline_version_reference.pipeline_id
        )
    assert [one.display_name for one in runs.runs] == [NAME]
    assert found.pipeline_versions[0].display_name.startswith("release-")
