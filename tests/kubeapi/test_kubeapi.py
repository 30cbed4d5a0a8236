"""The tests' own API server, held against what a real one was recorded to say."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.kinds import kind_at
from tests.kubeapi.server import KubeApi, serve
from tests.kubeapi.status import denied, too_many

RUNS = "/apis/tekton.dev/v1/namespaces/ci/pipelineruns"
SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/ml/inferenceservices"
RECORDINGS = Path(os.environ["COALMINE_SHARED"]) / "recordings"


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serve() as running:
        yield running


@pytest.fixture
def client(api: KubeApi) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, timeout=10) as made:
        yield made


def _run(name: str = "", **metadata: Any) -> dict[str, Any]:
    named = {"name": name} if name else {"generateName": "run-"}
    return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": named | metadata}


def _service(image: str = "v1") -> dict[str, Any]:
    containers = [{"name": "kserve-container", "image": image}]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris"},
        "spec": {"predictor": {"containers": containers}},
    }


def _patch(client: httpx.Client, operations: list[dict[str, Any]], **query: str) -> httpx.Response:
    return client.patch(
        f"{SERVICES}/iris",
        content=json.dumps(operations),
        params=query,
        headers={"content-type": "application/json-patch+json"},
    )


def _recorded(name: str, note: str) -> dict[str, Any]:
    path = RECORDINGS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the recordings of real clusters are not here")
    for line in path.read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        if note in entry.get("action", ""):
            return entry
    raise AssertionError(note)


def test_a_name_twice_is_refused_in_the_recorded_words(client: httpx.Client) -> None:
    assert client.post(RUNS, json=_run("release-twice")).status_code == 201
    again = client.post(RUNS, json=_run("release-twice"))
    recorded = _recorded("api-errors", "create the same name again")
    assert (again.status_code, again.json()) == (recorded["http"], recorded["response"])


def test_what_is_not_there_is_told_in_the_recorded_words(client: httpx.Client) -> None:
    assert client.get(f"{RUNS}/nope").json() == _recorded("api-errors", "get missing")["response"]
    unknown = client.get("/apis/example.com/v1/namespaces/ci/things")
    assert unknown.text == _recorded("api-errors", "CRD not installed")["response"]


def test_the_same_generate_name_twice_is_two_runs(client: httpx.Client) -> None:
    names = {client.post(RUNS, json=_run()).json()["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("operation", "note"),
    [
        ({"op": "remove", "path": "/spec/predictor/canaryTrafficPercent"}, "remove a field that"),
        ({"op": "test", "path": "/spec/predictor/containers/0/image", "value": "x"}, "test fails"),
        (
            {"op": "replace", "path": "/spec/predictor/canaryTrafficPercent", "value": 5},
            "replace a field that is not there",
        ),
    ],
)
def test_json_patches_end_as_recorded(
    client: httpx.Client, operation: dict[str, Any], note: str
) -> None:
    client.post(SERVICES, json=_service())
    answer = _patch(client, [operation], dryRun="All")
    recorded = _recorded("kserve-patch-edge-cases", note)
    assert answer.status_code == recorded["http"]
    assert answer.is_success or answer.json() == recorded["response"]


def test_a_stale_resource_version_is_a_conflict(client: httpx.Client) -> None:
    client.post(SERVICES, json=_service())
    answer = client.patch(
        f"{SERVICES}/iris",
        content=json.dumps({"metadata": {"resourceVersion": "1"}, "spec": {"predictor": {}}}),
        headers={"content-type": "application/merge-patch+json"},
    )
    assert answer.json()["reason"] == "Conflict"
    assert "the object has been modified" in answer.json()["message"]


def test_generation_counts_changes_of_the_spec_alone(client: httpx.Client, api: KubeApi) -> None:
    made = client.post(SERVICES, json=_service()).json()
    api.store.set_status(made, {"ready": True})
    note = {"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}
    noted = _patch(client, [note]).json()
    assert (noted["metadata"]["generation"], noted["status"]) == (1, {"ready": True})
    image = {"op": "replace", "path": "/spec/predictor/containers/0/image", "value": "v2"}
    changed = _patch(client, [image], fieldManager="coalmine").json()
    assert changed["metadata"]["generation"] == 2
    writers = {entry["manager"]: entry for entry in changed["metadata"]["managedFields"]}
    assert writers["coalmine"]["fieldsV1"] == {"f:spec": {"f:predictor": {"f:containers": {}}}}
    assert writers["controller"]["subresource"] == "status"


def test_a_write_that_changes_nothing_makes_no_version(client: httpx.Client) -> None:
    made = client.post(SERVICES, json=_service()).json()
    same = _patch(client, [{"op": "test", "path": "/kind", "value": "InferenceService"}]).json()
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_dry_run_changes_nothing(client: httpx.Client) -> None:
    assert client.post(RUNS, json=_run("a"), params={"dryRun": "All"}).status_code == 201
    assert client.get(f"{RUNS}/a").status_code == 404


def test_lists_are_selected_and_paged(client: httpx.Client) -> None:
    for index in range(5):
        client.post(RUNS, json=_run(f"r{index}", labels={"odd": str(index % 2)}))
    odd = client.get(RUNS, params={"labelSelector": "odd=1"}).json()["items"]
    assert [item["metadata"]["name"] for item in odd] == ["r1", "r3"]
    first = client.get(RUNS, params={"limit": "3"}).json()
    rest = client.get(RUNS, params={"limit": "3", "continue": first["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in rest.json()["items"]] == ["r3", "r4"]


def _watch(client: httpx.Client, **query: str) -> list[dict[str, Any]]:
    answer = client.get(RUNS, params={"watch": "1", "timeoutSeconds": "0.2"} | query)
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_watch_tells_what_came_after_a_version(client: httpx.Client) -> None:
    version = client.post(RUNS, json=_run("a")).json()["metadata"]["resourceVersion"]
    client.post(RUNS, json=_run("b"))
    client.delete(f"{RUNS}/a")
    seen = [
        (event["type"], event["object"]["metadata"]["name"])
        for event in _watch(client, resourceVersion=version)
    ]
    assert seen == [("ADDED", "b"), ("DELETED", "a")]


def test_a_watch_from_a_forgotten_version_is_gone(client: httpx.Client, api: KubeApi) -> None:
    client.post(RUNS, json=_run("a"))
    api.store.compact()
    (event,) = _watch(client, resourceVersion="1")
    recorded = _recorded("api-errors", "watch from a too old resourceVersion")["response"]
    assert event["type"] == recorded["type"]
    for key in ("reason", "code"):
        assert event["object"][key] == recorded["object"][key]


def test_a_watch_is_told_at_once_and_bookmarked(client: httpx.Client, api: KubeApi) -> None:
    api.app.watches.bookmark_every = 0.05
    kind = kind_at("tekton.dev", "v1", "pipelineruns")
    assert kind is not None
    query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "20"}
    with client.stream("GET", RUNS, params=query) as stream:
        lines = (json.loads(line) for line in stream.iter_lines())
        assert next(lines)["type"] == "BOOKMARK"
        threading.Thread(target=lambda: api.store.create(_run("late"), "ci")).start()
        assert next(line for line in lines if line["type"] != "BOOKMARK")["type"] == "ADDED"


def test_faults_come_once_and_in_order(client: httpx.Client, api: KubeApi) -> None:
    api.faults.add(Fault("POST", "pipelineruns", too_many(7)))
    api.faults.add(Fault("POST", "pipelineruns", denied("hook.example.com", "no")))
    busy, refused, made = (client.post(RUNS, json=_run("a")) for _ in range(3))
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "7")
    assert (
        refused.json()["message"] == 'admission webhook "hook.example.com" denied the request: no'
    )
    assert made.status_code == 201


@pytest.mark.parametrize(("reset", "status"), [(Reset.BEFORE, 404), (Reset.AFTER, 200)])
def test_a_connection_breaks_before_or_after_the_write(
    client: httpx.Client, api: KubeApi, reset: Reset, status: int
) -> None:
    api.faults.add(Fault("POST", "pipelineruns", reset=reset))
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(RUNS, json=_run("a"))
    assert client.get(f"{RUNS}/a").status_code == status


def test_a_token_is_asked_for(client: httpx.Client, api: KubeApi) -> None:
    api.app.token = "secret"
    assert client.get(RUNS).status_code == 401
    assert client.get(RUNS, headers={"authorization": "Bearer secret"}).status_code == 200
