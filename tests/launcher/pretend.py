"""A dispatcher with a clock of its own, and an engine that does what its test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from coalmine.engines.protocol import RunRequest, RunState, RunStatus, TaskState, TaskStatus
from coalmine.launcher.admission import Admitted
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.read import read_releases
from coalmine.launcher.release import NewRelease

__all__ = ["Bench", "PretendEngine"]


class PretendEngine:
    """An engine that does what its test says."""

    name = "local"
    portable = True

    def __init__(self) -> None:
        self.submitted: list[RunRequest] = []
        self.runs: dict[str, RunStatus] = {}
        self.error: Exception | None = None
        self.broken: set[str] = set()
        self.seen = threading.Event()

    def submit(self, request: RunRequest) -> None:
        if self.error:
            raise self.error
        self.submitted.append(request)
        self.seen.set()
        self.runs.setdefault(request.run_id, RunStatus(request.run_id, RunState.PENDING))

    def status(self, run_id: str) -> RunStatus | None:
        if run_id in self.broken:
            raise KeyError("state")
        return self.runs.get(run_id)

    def cancel(self, run_id: str) -> None:
        self.runs[run_id] = replace(self.runs[run_id], state=RunState.CANCELLED)

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        return b""

    def say(self, run_id: str, state: RunState, message: str = "", **outputs: str) -> None:
        task = TaskStatus("some-task", TaskState.SUCCEEDED, 1, outputs=outputs)
        self.runs[run_id] = RunStatus(run_id, state, (task,), message)


class Bench:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.engine = PretendEngine()
        self.ledger = Ledger(ledger_url(state))
        self.now = 0.0
        self.dispatcher = self.make()

    def make(self, monotonic: Callable[[], float] | None = None) -> Dispatcher:
        clock = monotonic or (lambda: self.now)
        return Dispatcher(self.ledger, {"local": self.engine}, Path, monotonic=clock, submit_for=60)

    def tick_at(self, now: float) -> None:
        self.now = now
        self.dispatcher.tick()

    def accept(self, release_id: str, service: str = "iris") -> bool:
        release = NewRelease(
            release_id,
            service,
            "iris",
            "",
            "/ci",
            release_id,
            "t",
            "b",
            "release",
            "local",
            {"release_id": release_id},
        )
        [[admitted]] = cast("list[list[Admitted]]", self.ledger.accept([[release]]))
        return admitted.new

    def states(self) -> dict[object, object]:
        return {one["id"]: one["state"] for one in read_releases(self.state)}
