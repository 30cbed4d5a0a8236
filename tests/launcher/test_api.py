"""The HTTP API of releases: lists, retries, holds; and that its document is true."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import schemathesis.checks
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.client.launcher import follow_logs
from coalmine.engines.protocol import RunRequest, RunStatus, TaskState, TaskStatus
from coalmine.launcher.access import OpenAccess
from coalmine.launcher.answers import Answers, Refusal
from coalmine.launcher.api import ReleasesApi, openapi_document
from coalmine.launcher.bindings_file import load_bindings
from coalmine.launcher.cancel import Canceller
from coalmine.launcher.commit import GroupCommit
from coalmine.launcher.facts import Facts
from coalmine.launcher.http import make_app
from coalmine.launcher.intake import Intake
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.notes import Notes
from coalmine.launcher.query import parse_query
from coalmine.launcher.read import select_release
from coalmine.launcher.release import NewRelease, ReleaseState
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.retry import Retrier
from coalmine.launcher.stream import Logs, Position, parse_position
from coalmine.launcher.telemetry import Telemetry

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = {
    "r1": ReleaseState.PROMOTED,
    "r2": ReleaseState.ROLLED_BACK,
    "r3": ReleaseState.FAILED,
    "r4": ReleaseState.CANCELLED,
}


def new(release_id: str, service: str) -> NewRelease:
    return NewRelease(
        id=release_id,
        service=service,
        name="iris",
        version="v1",
        event_source="/ci",
        event_id=release_id,
        event_type="t",
        binding="b",
        pipeline="release",
        engine="local",
        parameters={"version": "v1", "release_id": release_id},
        event_attributes={"traceparent": "00-1"},
    )


class Clock:
    now = T0

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


def filled(ledger: Ledger) -> Ledger:
    """Four that have ended, one that is held, one that waits behind it."""
    for number, (release_id, end) in enumerate(ENDS.items()):
        ledger.accept([[new(release_id, f"s{number % 2}")]])
        ledger.begin()
        task = TaskStatus("gate", TaskState.SUCCEEDED, 1, T0, T0, {"verdict": "promote"})
        ledger.record(release_id, (task,), Facts(verdict="promote"), end)
    ledger.accept([[new("r5", "s0")], [new("r6", "s0")]])
    ledger.begin()
    Answers(ledger).hold("r5", "too few requests")
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    notes = Notes(["http://sink/"])
    with closing(filled(Ledger(ledger_url(tmp_path), Clock(), notes=notes))) as made:
        yield made


def application(ledger: Ledger, public_url: str = "") -> Any:
    commit = GroupCommit(ledger.accept)
    commit.start()
    bindings = Reloaded(lambda: load_bindings(None), [], "the bindings")
    return make_app(
        Intake(bindings, commit.put),
        ReleasesApi(
            ledger,
            Canceller(ledger, lambda: None),
            Answers(ledger),
            Retrier(ledger),
            Logs(ledger, {}),
        ),
        ledger,
        Telemetry(ledger.count_by_state),
        lambda: True,
        access=OpenAccess(),
        settings=[bindings],
        public_url=public_url,
    )


@pytest.fixture
def client(ledger: Ledger) -> TestClient:
    return TestClient(application(ledger), raise_server_exceptions=False)


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["r6", "r5", "r4", "r3", "r2", "r1"]),
        ("service=s1", ["r4", "r2"]),
        ("state=failed&state=accepted", ["r6", "r3"]),
        ("state=held", ["r5"]),
        ("state=running", ["r5"]),
        ("state=held&state=promoted", ["r5", "r1"]),
        ("limit=2", ["r6", "r5"]),
        ("service=nobody", []),
        ("since=2026-01-01T00:11:00%2B00:00&limit=3", ["r6", "r5", "r4"]),
        ("since=2026-01-01T02:11:00%2B02:00", ["r6", "r5", "r4"]),
    ],
)
def test_a_list_by_service_state_and_time(client: Any, query: str, found: list[str]) -> None:
    assert ids(client.get(f"/releases?{query}")) == found


def test_pages_follow_each_other_to_the_end(client: Any) -> None:
    url, seen = "/releases?limit=2&state=accepted&state=running&state=failed&state=promoted", []
    for _ in range(3):
        answer = client.get(url)
        seen += ids(answer)
        url = answer.links.get("next", {}).get("url")
        if not url:
            break
    assert seen == ["r6", "r5", "r3", "r1"]
    assert url is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=dead-ish", "state"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("before=-1", "before"),
        ("before=99999999999999999999", "before"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("since=0001-01-01T00:00:00%2B23:00", "since"),
        ("service=", "service"),
        ("service=a%00", "service"),
        ("limit=1&limit=2", "limit"),
        ("sevice=iris", "sevice"),
    ],
)
def test_a_list_that_cannot_be_meant(client: Any, query: str, field: str) -> None:
    answer = client.get(f"/releases?{query}")
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert answer.json()["fix"]


def test_a_query_is_what_it_was_written_from() -> None:
    pairs = [("service", "a b&"), ("state", "held"), ("state", "failed"), ("limit", "7")]
    query = parse_query([*pairs, ("since", "2026-01-01T01:00:00+01:00"), ("before", "3")])
    again = parse_query(httpx.QueryParams(query.parameters()).multi_items())
    assert again == query


def test_a_held_release_is_shown_until_it_is_decided(client: Any, ledger: Ledger) -> None:
    held = client.get("/releases/r5").json()["held"]
    assert held["reason"] == "too few requests"
    again = client.post("/releases/r5/hold", json={"reason": "still too few"})
    assert (again.status_code, again.json()["answer"]) == (200, "")
    now = client.get("/releases/r5").json()["held"]
    assert now == {"since": held["since"], "reason": "still too few"}
    assert client.post("/releases/r5/approve").json()["answer"] == "approved"
    assert client.post("/releases/r5/hold", json={"reason": "x"}).json()["answer"] == "approved"
    assert client.get("/releases/r5").json()["held"] is None
    assert client.get("/releases?state=held").json() == []
    assert Answers(ledger).hold("r1", "x") is Refusal.NOT_RUNNING
    told = ledger.waiting()[0][1]
    assert told >= 1


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("r1", b'{"reason": "x"}', 409),
        ("r9", b'{"reason": "x"}', 404),
        ("R%00", b'{"reason": "x"}', 404),
        ("r5", b"", 400),
        ("r5", b'{"reason": 1}', 400),
        ("r5", b'{"reason": "\\u0000"}', 400),
        ("r5", b'{"reason": "\\ud800"}', 400),
        ("r5", b"[" * 100_000, 400),
    ],
)
def test_what_cannot_be_held(client: Any, path: str, content: bytes, status: int) -> None:
    assert client.post(f"/releases/{path}/hold", content=content).status_code == status
    page = client.post("/releases/r5/hold", content=b'{"reason": ""}', headers={"Origin": "x"})
    assert page.status_code == 403


def test_retry_is_one_new_release_that_waits_its_turn(client: Any, ledger: Ledger) -> None:
    first = client.post("/releases/r4/retry")
    assert first.status_code == 202
    again = client.post("/releases/r4/retry")
    assert (again.status_code, again.json()) == (200, first.json())
    with ledger.connect() as connection:
        made = select_release(connection, first.json()["id"])
    assert made is not None
    assert (made["service"], made["version"], made["state"]) == ("s1", "v1", "accepted")
    assert made["event"] == {"source": "/ci", "id": "r4", "type": "t"}
    for release_id, status in (("r1", 409), ("r5", 409), ("r6", 409), ("r9", 404), ("R", 404)):
        assert client.post(f"/releases/{release_id}/retry").status_code == status, release_id


def test_no_retry_behind_a_newer_release_that_may_be_promoted(client: Any, ledger: Ledger) -> None:
    refused = client.post("/releases/r3/retry")
    assert refused.status_code == 409
    assert "s0 has a newer release that has not ended, r5" in refused.json()["detail"]
    for release_id in ("r5", "r6"):
        ledger.begin()
        ledger.record(release_id, (), Facts(), ReleaseState.FAILED)
    assert client.post("/releases/r3/retry").status_code == 202


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_runs_lists_what_is_asked_for(ledger: Ledger, tmp_path: Path) -> None:
    def listed(*words: str) -> list[str]:
        shown = call("runs", "--state", tmp_path, "-o", "json", *words)
        return [one["id"] for one in json.loads(shown.output)]

    assert listed("--limit", "2") == ["r5", "r6"]
    assert listed("--service", "s1", "--release-state", "cancelled") == ["r4"]
    assert listed("--since", "2026-01-01T00:11:00Z") == ["r4", "r5", "r6"]
    assert "held" in call("runs", "--state", tmp_path, "--release-state", "held").output
    wrong = call("runs", "--state", tmp_path, "--since", "today").exception
    assert isinstance(wrong, InputError)
    assert "since" in str(wrong)


@pytest.mark.integration
def test_retry_and_watch_from_the_command_line(launched: Callable[..., Any]) -> None:
    code = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text({!r})"
    exit_task = {"name": "finalize", "code": code.format("rolled_back"), "output": "outcome"}
    launcher = launched({"tasks": [], "exit": exit_task})
    first = launcher.post(name="iris").json()["id"]
    launcher.wait_ended()
    shown = call("retry", first, "--launcher", launcher.url, "--watch")
    assert shown.exit_code == 1, shown.output
    assert "tries again, accepted" in shown.output
    assert "rolled_back" in shown.output
    known = call("retry", first[:6], "--state", launcher.state, "-o", "json")
    assert json.loads(known.output)["state"] == "rolled_back"
    assert "there is no release r9" in str(
        call("retry", "r9", "--launcher", launcher.url).exception
    )
    listed = call("runs", "--launcher", launcher.url, "-o", "json", "--limit", "1")
    assert [one["id"] for one in json.loads(listed.output)] == [json.loads(known.output)["id"]]


@dataclass
class Writing:
    """An engine whose runs have written, which counts how often it is asked."""

    written: bytes = b"one\ntwo\n"
    asked: int = 0
    error: CoalmineError | None = None

    name = "local"
    portable = False

    def submit(self, request: RunRequest) -> None: ...

    def status(self, run_id: str) -> RunStatus | None:
        return None

    def cancel(self, run_id: str) -> None: ...

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        self.asked += 1
        if self.error:
            raise self.error
        return self.written[start:]


def test_answers_name_the_public_url(ledger: Ledger) -> None:
    client = TestClient(application(ledger, "https://releases.example/base/"))
    asked = {"name": "iris"}
    event = {"specversion": "1.0", "id": "1", "source": "/ci", "data": asked}
    event["type"] = "dev.coalmine.release.requested.v1"
    headers = {"content-type": "application/cloudevents+json"}
    answer = client.post("/events", content=json.dumps(event), headers=headers)
    base = "https://releases.example/base/releases"
    assert answer.status_code == 202
    assert answer.json()["url"] == answer.headers["location"] == f"{base}/{answer.json()['id']}"
    assert client.post("/releases/r5/cancel").json()["url"] == f"{base}/r5"
    assert client.get("/releases?limit=1").headers["link"].startswith(f"<{base}?limit=1&before=")


def test_a_log_that_cannot_be_had_is_told_to_the_one_who_asked(ledger: Ledger) -> None:
    ledger.record("r5", (TaskStatus("gate", TaskState.RUNNING, 1, T0),), Facts())
    engine = Writing(error=CoalmineError("the pod x is gone", fix="keep pods for longer"))

    async def read(logs: Logs, *, follow: bool) -> list[str]:
        return [one async for one in logs.stream("r5", Position(), follow=follow)]

    def unreadable(engines: dict[str, Any]) -> dict[str, str]:
        said = asyncio.run(read(Logs(ledger, engines), follow=False))
        [found] = [one for one in said if one.startswith("event: unreadable")]
        assert said[-1].startswith("event: end")
        return dict(json.loads(found.partition("data: ")[2]))

    told = {"step": "gate", "reason": "the pod x is gone", "fix": "keep pods for longer"}
    assert unreadable({"local": engine}) == told
    assert engine.asked == 1, "it is not asked again and again"
    assert unreadable({})["reason"] == "this launcher has no engine local"


def test_a_log_that_was_read_to_its_end_is_not_asked_for_again(ledger: Ledger) -> None:
    ledger.record("r5", (TaskStatus("gate", TaskState.SUCCEEDED, 1, T0, T0),), Facts())
    engine = Writing()
    logs = Logs(ledger, {"local": engine})

    async def read(events: int) -> list[str]:
        stream = logs.stream("r5", Position())
        found = [await anext(stream) for _ in range(events)]
        ledger.record("r5", (), Facts(), ReleaseState.FAILED)
        return found + [one async for one in stream]

    said = "".join(asyncio.run(read(4)))
    assert said.count("event: log") == 2
    assert said.endswith("data: {}\n\n")
    assert engine.asked == 2


CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
OPERATIONS = [
    (path, method)
    for path, item in openapi_document()["paths"].items()
    for method in item
    if method != "parameters"
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document as it is served, and the launcher's HTTP face with releases behind it."""
    url = ledger_url(tmp_path_factory.mktemp("api"))
    with closing(filled(Ledger(url, Clock()))) as ledger:
        app = application(ledger)
        assert TestClient(app).get("/openapi.json").json() == openapi_document()
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


MODES = pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))


@MODES
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_document_is_true(
    api: Any, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    hold(api, path, method, mode, settings(max_examples=8, derandomize=True))


@pytest.mark.soak
@MODES
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_document_is_true_whatever_is_asked(
    api: Any, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    hold(api, path, method, mode, settings(max_examples=300))


def hold(
    api: Any, path: str, method: str, mode: schemathesis.GenerationMode, how: settings
) -> None:
    """Hold the document against the code, with known releases half of the time."""
    operation = api[path][method.upper()]

    @settings(how, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy(generation_mode=mode), st.sampled_from([*ENDS, "r5", "r6", ""]))
    def check(case: Any, release_id: str) -> None:
        if release_id and "release_id" in path and mode.is_positive:
            case.path_parameters["release_id"] = release_id
        if path.endswith("/logs"):
            case.query["follow"] = "false"  # else it does not end
            case.headers.pop("Last-Event-ID", None)
        case.call_and_validate(checks=CHECKS)

    try:
        check()
    except Unsatisfiable:
        assert mode.is_negative, "there is nothing that could be sent wrongly"


def test_what_is_dead_is_put_back_in_line_unless_a_newer_one_was_promoted(
    client: Any, ledger: Ledger
) -> None:
    ledger.accept([[new("rd", "s2")], [new("rf", "s2")]])
    for release_id, end in (("rd", ReleaseState.DEAD), ("rf", ReleaseState.FAILED)):
        ledger.begin()
        ledger.record(release_id, (), Facts(), end)
    again = client.post("/releases/rd/retry")
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, "rd", "accepted")
    assert client.post("/releases/rd/retry").status_code == 409
    ledger.begin()
    ledger.record("rd", (), Facts(), ReleaseState.DEAD)
    ledger.accept([[new("rn", "s2")]])
    ledger.begin()
    ledger.record("rn", (), Facts(), ReleaseState.PROMOTED)
    for release_id in ("rd", "rf"):
        refused = client.post(f"/releases/{release_id}/retry")
        assert refused.status_code == 409
        assert "the newer release rn of s2 was promoted" in refused.json()["detail"]


@pytest.mark.parametrize("text", ["", "{}", '{"gate":7}'])
def test_a_position_is_what_was_sent(text: str) -> None:
    assert parse_position(text).text() == (text or "{}")


@pytest.mark.parametrize("text", ["7", "[", '{"a":-1}', '{"a":true}', '{"a":1e9}', "{" * 9000])
def test_a_position_that_was_never_sent(client: Any, text: str) -> None:
    answer = client.get("/releases/r1/logs", headers={"Last-Event-ID": text})
    assert (answer.status_code, answer.json()["field"]) == (400, "Last-Event-ID")


def test_a_log_that_cannot_be_had(client: Any) -> None:
    assert client.get("/releases/r9/logs").status_code == 404
    assert client.get("/releases/r1/logs?follow=maybe").json()["field"] == "follow"
    assert client.get("/releases/r1/logs?stop=x").json()["field"] == "stop"


WRITING = """
import pathlib, sys, time
print('first'); print('é"second'); sys.stdout.flush()
gate = pathlib.Path({gate!r})
while not gate.exists(): time.sleep(0.02)
sys.stdout.write('last, without an end')
"""


@pytest.mark.integration
def test_logs_are_followed_and_resumed(launched: Callable[..., Any], tmp_path: Path) -> None:
    gate = tmp_path / "go"
    code = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text('promoted')"
    launcher = launched(
        {
            "tasks": [{"name": "build", "code": WRITING.format(gate=str(gate))}],
            "exit": {"name": "finalize", "code": code, "output": "outcome"},
        }
    )
    release_id = launcher.post(name="iris").json()["id"]
    first = next(e for e in follow_logs(launcher.url, release_id) if e.kind == "log")
    assert first.data == {"step": "build", "text": "first"}
    events = follow_logs(launcher.url, release_id, position=first.id)
    second = next(event for event in events if event.kind == "log")
    assert second.data["text"] == 'é"second', "what was read before does not come again"
    gate.touch()
    rest = list(events)
    assert [e.data["text"] for e in rest if e.kind == "log"] == ["last, without an end"]
    assert rest[-1].kind == "end"
    assert [e.data["state"] for e in rest if e.kind == "release"][-1] == "promoted"
    again = follow_logs(launcher.url, release_id, position=rest[-1].id, step="build")
    assert [event.kind for event in again if event.kind == "log"] == []
    for way in (["--state", launcher.state], ["--launcher", launcher.url]):
        shown = call("logs", release_id, *way)
        assert shown.exit_code == 0, shown.output
        assert 'build: first\nbuild: é"second\nbuild: last, without an end\n' in shown.output
    text = call("logs", release_id[:7], "--state", launcher.state, "-o", "json", "--step", "build")
    assert json.loads(text.output.splitlines()[0])["text"] == "first"
    shutil.move(launcher.state / "runs" / release_id, tmp_path / "moved")
    gone = call("logs", release_id, "--state", launcher.state)
    assert (gone.exit_code, gone.stdout) == (0, "")
    assert f"build: its log cannot be had: there is no log of the run {release_id}" in gone.stderr
    assert launcher.end(signal.SIGTERM) == 0
    gone = call("logs", release_id, "--state", launcher.state, "-o", "json")
    assert json.loads(gone.stdout.splitlines()[0])["step"] == "build"
    assert "there is no" in json.loads(gone.stdout.splitlines()[0])["reason"]
    shutil.move(tmp_path / "moved", launcher.state / "runs" / release_id)
    assert "first" in call("logs", release_id, "--state", launcher.state).output


@pytest.mark.integration
def test_a_launcher_that_is_followed_stops_in_time(launched: Callable[..., Any]) -> None:
    launcher = launched({"tasks": [{"name": "slow", "code": "import time; time.sleep(60)"}]})
    release_id = launcher.post(name="iris").json()["id"]
    events = follow_logs(launcher.url, release_id)
    next(events)
    assert launcher.end(signal.SIGTERM) == 0
    with pytest.raises(CoalmineError):
        list(events)
    assert launcher.log.read_text().count("Traceback") == 0, launcher.log.read_text()[-3000:]
