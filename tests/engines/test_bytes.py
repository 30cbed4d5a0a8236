"""A value reaches the container byte for byte, or is refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kubeflow import Kubeflow, serve_kubeflow

from coalmine._base.errors import InputError
from coalmine.engines.kfp.api import KfpApi
from coalmine.engines.kfp.engine import KfpEngine
from coalmine.engines.kube.dialect import name_of
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.values import check_for
from coalmine.events import Event
from coalmine.launcher.bindings import Binding, BoundParameter
from coalmine.launcher.intake import release_of
from tests.engines import pods
from tests.engines.kubefix import make_engine, read_once, request
from tests.engines.replay import entries
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi, serve

HOSTILE = [
    "$",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "=",
    "'",
    '"',
    "`",
    "\\",
    "\n",
    "\0",
    "\x7f",
    "\ud800",
]
WORDS = [
    "$(params.release_id)",
    "$(context.pipelineRun.name)",
    "$(results.verdict.path)",
    "{{workflow.name}}",
    "{{inputs.parameters.service}}",
    "{{=1+1}}",
    "{{$.inputs.parameters['service']}}",
    "[[RunUUID]]",
    "$(COALMINE_TOKEN)",
    "; rm -rf /",
    '"}) or vector(1) #',
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(HOSTILE), st.sampled_from(WORDS), st.characters(codec="utf-8")),
    max_size=8,
).map("".join)
NUMBERS = count()
KINDS = {
    "tekton": kind_of("tekton.dev/v1", "PipelineRun"),
    "argo": kind_of("argoproj.io/v1alpha1", "Workflow"),
}
QUICK = settings(max_examples=60, deadline=None)
EVENTS = settings(max_examples=100, deadline=None)


WIRED = {"canary": "iris-2", "stable": "iris-1", "since": "2026-01-31T12:00:00Z"}
"""What the gate is given by the canary."""
RESULTS = {f"canary.results.{name}": value for name, value in WIRED.items()}
OUTPUTS = {f"canary.outputs.parameters.{name}": value for name, value in WIRED.items()}


def _binding(engine: str) -> Binding:
    given = {"service": "iris", "name": "iris", "policy": "$(body.policy)"}
    parameters = tuple(BoundParameter(name, value) for name, value in given.items())
    return Binding("b", ("t",), "release", parameters, engine=engine)


@pytest.fixture(scope="module")
def api() -> Iterator[KubeApi]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module", params=KINDS)
def engine(
    request: pytest.FixtureRequest, api: KubeApi, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeEngine]:
    made = make_engine(api, tmp_path_factory.mktemp("engine"), request.param)
    yield made
    made.close()


@pytest.fixture(scope="module")
def kubeflow() -> Iterator[Kubeflow]:
    with serve_kubeflow() as running:
        yield running


@pytest.fixture(scope="module")
def on_kfp(kubeflow: Kubeflow) -> Iterator[KfpEngine]:
    made = KfpEngine(KfpApi(kubeflow.url), read_once)
    yield made
    made.close()


@QUICK
@given(TEXTS)
@example("plain; text `with` 'all' \"that\" a shell $HOME ${HOME} would read\n")
def test_on_kubernetes(api: KubeApi, engine: KubeEngine, text: str) -> None:
    run_id = f"r{next(NUMBERS)}"
    sent = len(api.said("POST"))
    try:
        engine.submit(request(run_id, policy=text))
    except InputError:
        assert len(api.said("POST")) == sent
        return
    run = api.store.get(KINDS[engine.name], "ci", name_of(run_id))
    if engine.name == "tekton":
        found = pods.tekton(run, "gate", RESULTS, {}, {})
    else:
        found = pods.argo(run, "gate", OUTPUTS, {})
    assert found.after("--policy") == text
    assert (found.after("--service"), found.after("--release-id")) == ("iris", run_id)


@QUICK
@given(TEXTS)
@example("plain; text `with` 'all' \"that\" a shell $HOME ${HOME} would read\n")
def test_on_kubeflow_pipelines(kubeflow: Kubeflow, on_kfp: KfpEngine, text: str) -> None:
    run_id = f"r{next(NUMBERS)}"
    sent = len(kubeflow.asked)
    try:
        on_kfp.submit(request(run_id, policy=text))
    except InputError:
        assert len(kubeflow.asked) == sent
        return
    (run,) = kubeflow.named(name_of(run_id))
    version = kubeflow.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
    found = pods.kfp(version, run, "gate", WIRED, {})
    assert found.after("--policy") == text
    assert (found.after("--service"), found.after("--release-id")) == ("iris", run_id)


@pytest.mark.parametrize("name", ["local", "tekton", "argo", "kfp"])
@EVENTS
@given(TEXTS)
def test_what_an_event_brings_is_refused_before_it_is_kept(name: str, text: str) -> None:
    event = Event("1", "/ci", "t", data={"policy": text})
    try:
        values = release_of([_binding(name)], event).parameters
    except InputError:
        return
    assert values["policy"] == text
    check_for(name, values)


def _asked(name: str) -> dict[str, Any]:
    return next(one["body"] for one in entries(name) if one.get("action", "").startswith("POST"))


def test_tekton_is_as_it_was_recorded() -> None:
    objects = [one["object"] for one in entries("tekton-param-bytes") if "object" in one]
    (task,) = (
        one
        for one in objects
        if one["metadata"]["name"] == "bytes-bytes" and one.get("status", {}).get("results")
    )
    said = {one["name"]: one["value"] for one in task["status"]["results"]}
    found = pods.tekton(_asked("tekton-param-bytes"), "bytes", {}, {"args": "a", "envs": "e"}, {})
    assert found.argv[3:] == json.loads(said["args"])


def test_argo_is_as_it_was_recorded() -> None:
    spec = _asked("argo-param-bytes")["spec"]
    last = [one["object"] for one in entries("argo-param-bytes") if "object" in one][-1]
    (node,) = last["status"]["nodes"].values()
    said = {one["name"]: one["value"] for one in node["outputs"]["parameters"]}
    known = {
        f"workflow.parameters.{p['name']}": p["value"] for p in spec["arguments"]["parameters"]
    }
    known |= {"workflow.name": last["metadata"]["name"], "=1+1": "2"}
    words = spec["templates"][0]["container"]["args"]
    made = [pods.container_text(pods.argo_text(word, known), {}) for word in words]
    assert made == json.loads(said["args"])
