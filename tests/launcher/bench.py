"""A ledger whose notes go to one sink, driven by hand and by a clock of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from coalmine.engines.protocol import TaskState, TaskStatus
from coalmine.launcher.facts import Facts
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.notes import Notes
from coalmine.launcher.outbox import Outbox
from coalmine.launcher.release import NewRelease, ReleaseState
from coalmine.launcher.sender import Sender
from coalmine.launcher.sinks import Sink

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

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


class HasUrl(Protocol):
    @property
    def url(self) -> str: ...


class Bench:
    """A ledger with notes for one sink, and the sender to it, driven by hand."""

    def __init__(self, url: Any, sink: HasUrl, **more: Any) -> None:
        self.now = 0.0
        self.date = datetime.now(UTC)
        self.sink = Sink(sink.url, {"region": "north"}, **more)
        self.notes = Notes([self.sink.name], lambda _: {"gate"})
        self.ledger = Ledger(url, owner="a", notes=self.notes)
        self.sent: list[tuple[int, int, int]] = []
        self.sender = Sender(
            Outbox(self.ledger.database, self.sink.name, "http://launcher:8080/"),
            self.sink,
            lambda _, *counts: self.sent.append(counts),
            monotonic=lambda: self.now,
            clock=lambda: self.date,
        )

    def depth(self) -> int:
        return sum(count for _, count, _, _ in self.ledger.waiting())

    def dead(self) -> int:
        return sum(count for _, _, _, count in self.ledger.waiting())

    def close(self) -> None:
        self.sender.stop()
        self.ledger.close()


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
