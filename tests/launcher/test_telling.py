"""What others are told: from the ledger's own transactions, in order, until they have taken it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from event_sink import EventSink, running_sink

from coalmine._base.errors import InputError
from coalmine.cli.doctor import checks
from coalmine.engines.protocol import TaskState, TaskStatus
from coalmine.events.told import Happening, What, events_of
from coalmine.launcher.facts import Facts
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.notes import Before, Notes, happened
from coalmine.launcher.outbox import Outbox
from coalmine.launcher.release import NewRelease, ReleaseState
from coalmine.launcher.sender import Sender, wait_after
from coalmine.launcher.sinks import Sink, read_sinks

SCHEMAS = Path(os.environ["COALMINE_SHARED"]) / "schemas" / "cdevents"
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def sink() -> Iterator[EventSink]:
    with running_sink() as running:
        yield running


def new(release_id: str, service: str = "iris") -> NewRelease:
    return NewRelease(
        id=release_id,
        service=service,
        name="iris",
        version="",
        event_source="/ci",
        event_id=f"e-{release_id}",
        event_type="t",
        binding="b",
        pipeline="release",
        engine="local",
        parameters={},
        event_attributes={"traceparent": TRACE},
    )


class Bench:
    """A ledger with notes for one sink, and the sender to it, driven by hand."""

    def __init__(self, url: Any, sink: EventSink) -> None:
        self.now = 0.0
        self.sink = Sink(sink.url, {"region": "north"})
        self.notes = Notes([self.sink.name], lambda _: {"gate"})
        self.ledger = Ledger(url, owner="a", notes=self.notes)
        self.sent: list[tuple[int, int, int]] = []
        self.sender = Sender(
            Outbox(self.ledger.database, self.sink.name, "http://launcher:8080/"),
            self.sink,
            lambda _, *counts: self.sent.append(counts),
            monotonic=lambda: self.now,
        )

    def depth(self) -> int:
        return sum(count for _, count, _ in self.ledger.waiting())

    def close(self) -> None:
        self.sender.stop()
        self.ledger.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def bench(request: pytest.FixtureRequest, tmp_path: Path, sink: EventSink) -> Iterator[Bench]:
    on_sqlite = request.param == "sqlite"
    url = ledger_url(tmp_path) if on_sqlite else request.getfixturevalue("postgres").url
    made = Bench(url, sink)
    yield made
    made.close()


def task(name: str, state: TaskState = TaskState.SUCCEEDED, **outputs: str) -> TaskStatus:
    ended = T0 + timedelta(seconds=5) if state.ended else None
    return TaskStatus(name, state, 1, T0, ended, outputs)


def release_it(bench: Bench, release_id: str, end: str = "promoted", stable: str = "") -> None:
    """Take a release through all its states, as the dispatcher would."""
    bench.ledger.accept([[new(release_id)]])
    bench.ledger.begin()
    build = task("build", image_digest=DIGEST, version="v1")
    canary = task("canary", stable=stable)
    facts = Facts(version="v1", image_digest=DIGEST)
    running = (build, canary, task("gate", TaskState.RUNNING))
    bench.ledger.record(release_id, running, facts)
    bench.ledger.record(release_id, running, facts)
    verdict = "promote" if end == "promoted" else "rollback"
    judged = (build, canary, task("gate", verdict=verdict, reason="as seen"))
    facts = replace(facts, verdict=verdict, reason="as seen")
    bench.ledger.record(release_id, judged, facts)
    done = (*judged, task("finalize", outcome=end))
    state = ReleaseState.PROMOTED if end == "promoted" else ReleaseState.ROLLED_BACK
    bench.ledger.record(release_id, done, replace(facts, outcome=end), state)


PROMOTED = [
    "dev.coalmine.release.accepted.v1",
    "dev.cdevents.pipelinerun.queued.0.3.0",
    "dev.coalmine.release.running.v1",
    "dev.cdevents.pipelinerun.started.0.3.0",
    "dev.cdevents.artifact.packaged.0.3.0",
    "dev.cdevents.artifact.published.0.3.0",
    "dev.cdevents.testsuiterun.started.0.3.0",
    "dev.cdevents.testsuiterun.finished.0.3.0",
    "dev.cdevents.service.deployed.0.3.0",
    "dev.coalmine.release.promoted.v1",
    "dev.cdevents.pipelinerun.finished.0.3.0",
]


def test_a_release_from_its_request_to_its_promotion(bench: Bench, sink: EventSink) -> None:
    release_it(bench, "r1")
    assert bench.depth() == 7
    bench.sender.round()
    assert [one["type"] for one in sink.taken] == PROMOTED
    assert bench.depth() == 0
    assert sum(sent for sent, _, _ in bench.sent) == len(PROMOTED)
    for event in sink.taken:
        assert (event["specversion"], event["source"]) == ("1.0", "/coalmine/launcher")
        assert (event["traceparent"], event["region"]) == (TRACE, "north")
    promoted = sink.taken[-2]
    assert promoted["id"] == "r1.promoted"
    assert promoted["data"] == {
        "release": "r1",
        "url": "http://launcher:8080/releases/r1",
        "state": "promoted",
        "service": "iris",
        "name": "iris",
        "version": "v1",
        "image_digest": DIGEST,
        "verdict": "promote",
        "reason": "as seen",
        "trigger": {"source": "/ci", "id": "e-r1", "type": "t"},
    }
    gate = sink.taken[7]["data"]
    assert gate["context"]["links"][0]["target"] == {"contextId": "e-r1"}
    assert gate["context"]["timestamp"] == "2026-01-01T00:00:05.000000Z"
    assert gate["subject"]["content"]["outcome"] == "success"
    bench.now += 100
    bench.sender.round()
    assert len(sink.taken) == len(PROMOTED)


def test_what_became_of_the_service(bench: Bench, sink: EventSink) -> None:
    """First deployed, then upgraded, then back at what was before; one without a before is gone."""
    release_it(bench, "r1")
    release_it(bench, "r2", stable="iris-1")
    release_it(bench, "r3", "rolled_back", stable="iris-1")
    release_it(bench, "r4", "removed")
    bench.sender.round()
    services = [one for one in sink.taken if ".service." in one["type"]]
    names = [one["type"].split(".")[3] for one in sorted(services, key=lambda one: one["id"])]
    assert names == ["deployed", "upgraded", "rolledback", "removed"]
    assert DIGEST.split(":")[1] in json.dumps(services)


def test_cancelled_before_it_began(bench: Bench, sink: EventSink) -> None:
    bench.ledger.accept([[new("r1")]])
    bench.ledger.cancel("r1", "no need")
    bench.ledger.cancel("r1", "no need")
    bench.sender.round()
    assert [one["id"] for one in sink.taken] == [
        "r1.accepted",
        "r1.pipelinerun.queued",
        "r1.cancelled",
        "r1.pipelinerun.finished",
    ]
    content = sink.taken[-1]["data"]["subject"]["content"]
    assert (content["outcome"], content["errors"]) == ("cancel", "no need")


def test_a_sink_that_is_down_is_asked_more_and_more_rarely(bench: Bench, sink: EventSink) -> None:
    for number in range(40):
        bench.ledger.accept([[new(f"r{number}", f"s{number}")]])
    sink.answer = lambda _: (503, {})
    waits = []
    for _ in range(5):
        waits.append(bench.sender.round())
        assert bench.sender.round() == waits[-1], "it is left alone meanwhile"
        bench.now += waits[-1]
    assert waits == [wait_after(number) for number in range(1, 6)]
    assert len(sink.tried) < 5 * 20, "a round does not try everything"
    assert bench.depth() == 40
    assert bench.ledger.waiting()[0][0] == bench.sink.name
    sink.answer = lambda _: (429, {"retry-after": "77"})
    assert bench.sender.round() == 77
    bench.now += 77
    sink.answer = lambda _: (200, {})
    bench.sender.round()
    assert bench.depth() == 0
    assert len({one["id"] for one in sink.taken}) == 80


def test_one_release_that_fails_keeps_its_order_and_holds_no_other_up(
    bench: Bench, sink: EventSink
) -> None:
    release_it(bench, "r1")
    bench.ledger.accept([[new("r2", "other")]])
    sink.answer = lambda event: (500 if event["id"] == "r1.running" else 202, {})
    bench.now += bench.sender.round()
    ids = [one["id"] for one in sink.taken]
    assert "r2.accepted" in ids
    assert [one for one in ids if one.startswith("r1")] == ["r1.accepted", "r1.pipelinerun.queued"]
    sink.answer = lambda _: (202, {})
    bench.sender.round()
    assert [one["type"] for one in sink.taken if one["id"].startswith("r1")] == PROMOTED
    assert bench.depth() == 0


def test_what_a_sink_refuses_for_good_is_counted_and_not_sent_again(
    bench: Bench, sink: EventSink
) -> None:
    bench.ledger.accept([[new("r1")]])
    sink.answer = lambda event: (415 if "cdevents" in event["type"] else 202, {})
    bench.sender.round()
    assert bench.depth() == 0
    assert [sum(column) for column in zip(*bench.sent, strict=True)] == [1, 1, 0]


def test_only_one_launcher_sends_at_a_time(bench: Bench, sink: EventSink) -> None:
    bench.ledger.accept([[new("r1")]])
    if bench.ledger.database.sqlite:
        return
    outbox = Outbox(bench.ledger.database, bench.sink.name, "http://other")
    with outbox.alone() as mine:
        assert mine
        bench.sender.round()
        assert sink.taken == []
    bench.sender.round()
    assert len(sink.taken) == 2


def test_without_sinks_nothing_is_noted(tmp_path: Path) -> None:
    ledger = Ledger(ledger_url(tmp_path))
    ledger.accept([[new("r1")]])
    assert ledger.waiting() == []
    ledger.close()


@pytest.mark.parametrize(
    ("state", "message", "verdict", "outcome"),
    [
        (TaskState.SUCCEEDED, "", "rollback", "failure"),
        (TaskState.SUCCEEDED, "", "inconclusive", "error"),
        (TaskState.FAILED, "Prometheus is away", "", "error"),
    ],
)
def test_how_tests_end(state: TaskState, message: str, verdict: str, outcome: str) -> None:
    said = {"verdict": verdict} if verdict else {}
    gate = replace(task("gate", state, **said), message=message)
    [begun, ended] = happened(Before(), (gate,), Facts(), {"gate"})
    assert (begun.what, ended.what) == (What.JUDGING, What.JUDGED)
    made = happening(What.JUDGED, **dict(ended.facts or {}))
    [event] = events_of(made)
    assert isinstance(event.data, dict)
    assert event.data["subject"]["content"]["outcome"] == outcome
    assert (
        happened(Before(begun=frozenset({"gate"}), ended=frozenset({"gate"})), (gate,), Facts(), ())
        == []
    )


def happening(what: What, **facts: str) -> Happening:
    return Happening(
        what=what,
        at="2026-01-01T00:00:00.000000Z",
        release_id="r1",
        service="iris",
        name="iris",
        pipeline="release",
        engine="tekton",
        url="http://launcher:8080/releases/r1",
        trigger={"source": "/ci", "id": "é", "type": "t"},
        facts={"suite": "gate", **facts},
    )


@pytest.mark.parametrize("what", list(What))
@pytest.mark.parametrize(
    "facts",
    [{}, {"version": "v1", "image_digest": DIGEST, "verdict": "promote", "reason": "é\n"}],
)
def test_cdevents_are_valid_against_the_published_schemas(
    what: What, facts: dict[str, str]
) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip(f"the published schemas of CDEvents are not in {SCHEMAS}")
    schemas = {}
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text())
        context = schema["properties"]["context"]["properties"]
        # The schema of links is published apart; what holds of ours is checked below.
        links = context.pop("links")
        assert links == {"$ref": "links/embeddedlinksarray"}
        context["links"] = {"type": "array"}
        schemas[context["type"].get("enum", [""])[0]] = schema
    events = events_of(happening(what, **facts))
    assert events
    for event in events:
        assert isinstance(event.data, dict)
        if event.type.startswith("dev.cdevents."):
            jsonschema.validate(
                event.data,
                schemas[event.type],
                format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
            )
            [link] = event.data["context"]["links"]
            assert set(link) == {"linkType", "linkKind", "target"}
            assert (event.id, event.type) == (
                event.data["context"]["id"],
                event.data["context"]["type"],
            )


def test_sinks_by_option_and_environment() -> None:
    environ = {"K_SINK": "http://broker/ns", "K_CE_OVERRIDES": '{"extensions": {"a": "b"}}'}
    one, two = read_sinks(["http://u:secret@host/p?token=x", "http://broker/ns"], environ)
    assert "secret" not in one.name
    assert "token" not in one.name
    assert one.name.startswith("http://host/p#")
    assert (two.name, two.extensions) == ("http://broker/ns", {"a": "b"})
    for urls, wrong in ((["ftp://x"], {}), (["http:///x"], {}), ([], {"K_CE_OVERRIDES": "[]"})):
        with pytest.raises(InputError):
            read_sinks(urls, wrong)


CODE = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text({!r})"
PIPELINE = {
    "tasks": [{"name": "gate", "code": CODE.format("promote"), "output": "verdict"}],
    "exit": {"name": "finalize", "code": CODE.format("promoted"), "output": "outcome"},
}


@pytest.mark.integration
def test_kill_9_between_the_commit_and_the_sending(
    launched: Callable[..., Any], sink: EventSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K_SINK", sink.url)
    sink.answer = lambda _: (500, {})
    launcher = launched(PIPELINE)
    release_id = launcher.post(name="iris").json()["id"]
    launcher.wait_ended()
    metrics = httpx.get(f"{launcher.url}/metrics").text
    assert f'coalmine_outbox_depth{{sink="{sink.url}"}}' in metrics
    assert f'coalmine_events_told_total{{outcome="failed",sink="{sink.url}"}}' in metrics
    assert 'coalmine_step_seconds_count{state="succeeded",step="gate"} 1.0' in metrics
    launcher.end(signal.SIGKILL)
    assert sink.taken == []
    sink.answer = lambda _: (202, {})
    launcher.start()
    sink.wait_for(lambda: f"{release_id}.pipelinerun.finished" in {o["id"] for o in sink.taken})
    kinds = [one for one in sink.types() if one.startswith("dev.coalmine")]
    states = ("accepted", "running", "promoted")
    assert kinds == [f"dev.coalmine.release.{state}.v1" for state in states]
    launcher.wait_for(
        lambda: "coalmine_outbox_depth{" not in httpx.get(f"{launcher.url}/metrics").text
    )


def test_doctor_names_a_sink_that_takes_nothing(tmp_path: Path) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    ledger = Ledger(ledger_url(tmp_path), lambda: past, notes=Notes(["http://away/"]))
    ledger.accept([[new("r1")]])
    ledger.close()
    [check] = [one for one in checks(tmp_path) if one.name == "sink http://away/"]
    assert (check.found, check.required) == ("", False)
    assert "has not taken 1 events for 36" in check.purpose
