"""What others are told: from the ledger's own transactions, in order, until they have taken it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from event_sink import EventSink

from coalmine.cli.doctor import checks
from coalmine.engines.protocol import TaskState
from coalmine.events.told import Happening, What, events_of
from coalmine.launcher.facts import Facts
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.notes import Before, Notes, happened
from coalmine.launcher.outbox import Outbox
from tests.launcher.bench import DIGEST, PROMOTED, TRACE, Bench, new, release_it, task

SCHEMAS = Path(os.environ["COALMINE_SHARED"]) / "schemas" / "cdevents"


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
