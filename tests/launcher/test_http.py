"""Over real HTTP: what is taken, what is refused, and that a refusal stores nothing."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.bindings import RefusedError
from coalmine.launcher.checks import check_values
from coalmine.launcher.listen import check_public
from coalmine.launcher.server import Settings, serve
from coalmine.launcher.webhook import handshake
from coalmine.serving.record import begun
from tests.launcher.harness import read_graph

CE = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "dev.coalmine.release.requested.v1",
    "data": {"name": "iris"},
}


def body(**changes: object) -> str:
    return json.dumps(EVENT | changes)


@pytest.mark.parametrize(
    ("content", "headers", "status", "says"),
    [
        (body(data={}), CE, 400, "name"),
        (body(data={"name": "Iris"}), CE, 400, "name"),
        (body(data={"name": "iris", "percent": 100}), CE, 400, "percent"),
        (body(data={"name": {"x": 1}}), CE, 400, "name"),
        (body(data={"name": "iris", "version": "a\u0000b"}), CE, 400, "version"),
        (body(data={"name": "iris.v2"}), CE, 400, "service: 'iris.v2' is no legal service"),
        (body(data={"name": "iris.v2"}), CE, 400, "give a service"),
        (body(data={"name": "iris", "service": "i.s"}), CE, 400, "'i.s' is no legal service"),
        (body(data="iris", datacontenttype="text/plain"), CE, 400, "binding release, and the data"),
        (body(type="other"), CE, 422, "dev.coalmine.release.requested.v1"),
        (body(specversion="0.3"), CE, 400, "0.3"),
        ("{", CE, 400, "JSON"),
        (body(), {"content-type": "application/json"}, 415, "CloudEvent"),
        ("{}", BATCH, 400, "list"),
        ("[]", {"content-type": "application/cloudevents-batch+avro"}, 415, "avro"),
        (f"[{body()}, {body(id='')}, 7]", BATCH, 400, "2 of 3 events are refused"),
        (f"[{body()}, {body(type='other')}]", BATCH, 422, "event 1: no binding takes"),
        (json.dumps([EVENT] * 501), BATCH, 413, "more than 500"),
        (body(), CE | {"content-encoding": "gzip"}, 415, "uncompressed"),
        ("{}", {"ce-id": "1", "content-type": "application/json"}, 400, "specversion"),
        (" " * (1 << 20) + body(), CE, 413, "bytes"),
    ],
)
def test_refusals(
    quiet: Any, content: str, headers: dict[str, str], status: int, says: str
) -> None:
    answer = httpx.post(f"{quiet.url}/events", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert says in problem["detail"] + problem["fix"]
    assert problem["fix"]
    assert quiet.releases() == []


def test_what_is_wrong_with_each_event_of_a_batch(quiet: Any) -> None:
    content = f"[{body()}, {body(id='')}, {body(data={'name': 'Iris'})}]"
    problem = httpx.post(quiet.url, content=content, headers=BATCH).json()
    assert [(one["event"], one["status"]) for one in problem["errors"]] == [(1, 400)]
    content = f"[{body()}, {body(data={'name': 'Iris'})}, {body(type='other')}]"
    problem = httpx.post(quiet.url, content=content, headers=BATCH).json()
    said = [(one["event"], one["status"], one.get("field")) for one in problem["errors"]]
    assert said == [(1, 400, "name"), (2, 422, None)]
    assert all(one["detail"] and one["fix"] for one in problem["errors"])
    assert quiet.releases() == []


def test_an_empty_batch_is_a_good_one(quiet: Any) -> None:
    answer = httpx.post(quiet.url, content="[]", headers=BATCH)
    assert (answer.status_code, answer.json()) == (200, {"events": []})


def ask(url: str, **headers: str) -> httpx.Headers:
    named = {f"WebHook-Request-{name}": value for name, value in headers.items()}
    answer = httpx.options(f"{url}/events", headers=named)
    assert answer.status_code == 200
    assert answer.headers["allow"] == "POST, OPTIONS"
    return answer.headers


def test_the_handshake_of_a_webhook(quiet: Any) -> None:
    granted = ask(quiet.url, Origin="ci.example.com", Rate="120", Callback="http://10.0.0.1/")
    assert granted["webhook-allowed-origin"] == "ci.example.com"
    assert granted["webhook-allowed-rate"] == "*"
    assert "webhook-allowed-origin" not in ask(quiet.url)


@pytest.mark.parametrize(
    ("asked", "most", "granted"),
    [
        ("120", 60, "60"),
        ("30", 60, "30"),
        ("0", 60, "1"),
        ("", 60, "60"),
        ("x", 60, "60"),
        ("9", None, "*"),
    ],
)
def test_the_rate_that_a_webhook_is_granted(asked: str, most: int | None, granted: str) -> None:
    headers = {"webhook-request-origin": "a.example.com", "webhook-request-rate": asked}
    assert handshake(headers, rate=most)["WebHook-Allowed-Rate"] == granted


def test_a_webhook_from_elsewhere_is_not_granted() -> None:
    headers = {"webhook-request-origin": "a.example.org"}
    assert "WebHook-Allowed-Origin" not in handshake(headers, origins=["*.example.com"])
    headers = {"webhook-request-origin": "A.Example.com"}
    assert (
        handshake(headers, origins=["*.example.com"])["WebHook-Allowed-Origin"] == "A.Example.com"
    )


def values(**changes: str) -> dict[str, str]:
    return {"name": "iris", "service": "iris"} | changes


def test_a_bento_may_have_dots_when_a_service_is_given() -> None:
    check_values(values(name="iris.v2"))


@given(st.text(alphabet="ab1-_.", min_size=1, max_size=70))
def test_what_is_accepted_can_be_served(service: str) -> None:
    """The intake's rule for services is no wider than that of the room that serves them."""
    try:
        check_values(values(service=service))
    except RefusedError:
        return
    begun(
        None,
        service=service,
        image="oci-layout:///i@sha256:" + "0" * 64,
        version="v1",
        percent=10,
        release_id="r" + "a" * 15,
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 405),
        ("PUT", "/events", 405),
        ("POST", "/releases", 405),
        ("GET", "/nothing", 404),
        ("GET", "/releases/r1", 404),
        ("POST", "/releases/r1/cancel", 404),
        ("GET", "/releases/r1/cancel", 405),
        ("POST", "/releases/r1/approve", 404),
        ("POST", "/releases/r1/reject", 404),
        ("GET", "/releases/r1/approve", 405),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/releases", 200),
    ],
)
def test_paths_and_methods(quiet: Any, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, quiet.url + path)
    assert answer.status_code == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    if status == 405:
        allowed = "POST, OPTIONS" if path in {"/", "/events"} else answer.headers["allow"]
        assert answer.headers["allow"] == allowed
        assert method not in allowed.split(", ")


@pytest.mark.parametrize("verb", ["cancel", "approve", "reject"])
def test_a_web_page_cannot_decide_about_a_release(quiet: Any, verb: str) -> None:
    answer = httpx.post(
        f"{quiet.url}/releases/r1/{verb}", headers={"Origin": "https://example.com"}
    )
    assert answer.status_code == 403


def test_metrics(quiet: Any) -> None:
    httpx.post(quiet.url, content="{", headers=CE)
    text = httpx.get(f"{quiet.url}/metrics").text
    assert 'coalmine_releases{state="running"} 0.0' in text
    assert 'coalmine_events_total{status="400"}' in text


def test_a_second_launcher_with_the_same_state(quiet: Any) -> None:
    with pytest.raises(CoalmineError, match="another launcher runs"):
        serve(Settings(quiet.state, read_graph, pipelines=quiet.pipelines))
    port = int(quiet.url.rpartition(":")[2])
    with pytest.raises(InputError) as caught:
        serve(Settings(quiet.folder / "other", read_graph, port=port, pipelines=quiet.pipelines))
    assert str(port) in caught.value.message
    assert "give a free port" in caught.value.fix
    assert quiet.answers()


@pytest.mark.parametrize(
    "url", ["nope", "//h", "ftp://h", "http://", "http://[::1", "http://h/a b"]
)
def test_what_is_no_public_url_is_refused(url: str) -> None:
    assert check_public("https://h:1/base/") == "https://h:1/base/"
    with pytest.raises(InputError, match="is no base URL"):
        check_public(url)
