"""Durable accepts a second, beside bare committed inserts; growth; and how a queue drains."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import psutil
from measure import print_head
from sqlalchemy import text

from coalmine.engines.protocol import RunRequest, RunState, RunStatus, TaskState, TaskStatus
from coalmine.launcher.announce import read_announced
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.release import NewRelease
from tests.launcher.postgres import find_postgres, running_postgres

CONNECTIONS = (1, 10, 100)
RECEIVERS = (1, 2)
SECONDS = 2.0
ROUNDS = 3
PAST = (100, 10_000, 1_000_000)
QUEUED, SERVICES = 10_000, 1_000
HERE = Path(__file__).parent
Launched = tuple[str, psutil.Process]
Round = dict[tuple[str, int], dict[str, float]]
"""What was measured, by the launcher and the number of connections."""


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        _bench_accepts(Path(folder).absolute())
        _bench_growth(Path(folder).absolute())
        _bench_drain(Path(folder).absolute())


def _bench_accepts(folder: Path) -> None:
    print_head("Durable accepts over HTTP, in turn with a bare loop of committed SQLite inserts")
    found = find_postgres()
    if found is None:
        print("  PostgreSQL is not here")
    with contextlib.ExitStack() as stack:
        launchers: dict[str, Launched] = {}
        for database in ("sqlite", "postgresql") if found else ("sqlite",):
            for receivers in RECEIVERS:
                name = f"{database} {receivers}"
                # Each has a server of its own: two on one would share the work.
                server = found and database == "postgresql" and running_postgres(found)
                url = stack.enter_context(server).url if server else ""
                made = _launcher(folder / name, url, receivers)
                launchers[name] = stack.enter_context(made)
                _stop(launchers[name])
        rounds = [_round(folder, launchers, number) for number in range(ROUNDS + 1)]
    _print_accepts(rounds[1:])  # the first is for warming up


def _round(folder: Path, launchers: Mapping[str, Launched], number: int) -> Round:
    """Measure everything once: each launcher right after the bare loop, while the others stop."""
    found: Round = {}
    for connections in CONNECTIONS:
        for name, launched in launchers.items():
            floor = _bare_inserts(folder / f"bare-{name}-{number}-{connections}.db")
            _go_on(launched)
            measured = _measure(launched, connections, f"{number}-{connections}")
            _stop(launched)
            measured["floor"], measured["ratio"] = floor, measured["per_second"] / floor
            found[name, connections] = measured
    return found


def _measure(launched: Launched, connections: int, prefix: str) -> dict[str, float]:
    base, process = launched
    client = [sys.executable, str(HERE / "launcher_client.py"), base]
    words = [*client, str(connections), str(SECONDS), prefix]
    before = _processor(process)
    done = subprocess.run(words, check=True, capture_output=True)
    measured: dict[str, float] = json.loads(done.stdout)
    measured["cpu"] = (_processor(process) - before) / measured["accepted"]
    measured["memory"] = sum(one.memory_full_info().pss for one in _all(process))
    return measured


def _stop(launched: Launched) -> None:
    """Let a launcher stand still, so that it takes nothing from the one that is measured."""
    for one in _all(launched[1]):
        one.suspend()


def _go_on(launched: Launched) -> None:
    for one in _all(launched[1]):
        one.resume()


def _all(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _processor(process: psutil.Process) -> float:
    """Give the seconds of processor that a launcher's processes have taken."""
    return float(sum(sum(one.cpu_times()[:2]) for one in _all(process)))


def _print_accepts(rounds: Sequence[Round]) -> None:
    floors = sorted(one["floor"] for each in rounds for one in each.values())
    print(
        f"  bare loop of committed inserts {statistics.median(floors):22,.0f} /s"
        f"  ({floors[0]:,.0f} to {floors[-1]:,.0f})"
    )
    for name, connections in rounds[0]:
        measured = [each[name, connections] for each in rounds]
        middle = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
        worst = max(one["p99"] for one in measured)
        low, high = (pick(one["ratio"] for one in measured) for pick in (min, max))
        print(
            f"  {name:12} {connections:4} connections {middle['per_second']:8,.0f} /s"
            f"  p50 {1000 * middle['p50']:6.1f} ms  p99 {1000 * middle['p99']:6.1f} ms"
            f" (worst {1000 * worst:.0f})  {1e-6 * middle['memory']:4.0f} MB"
            f"  {middle['ratio']:5.2f} of the bare loop ({low:.2f} to {high:.2f})"
            f"  {1e6 * middle['cpu']:5.0f} us of processor each, client busy {middle['client']:.0%}"
        )


def _bare_inserts(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE r (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, rest TEXT)")
    begun, number = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        number += 1
        row = (f"r{number:015}", "x" * 600)
        connection.execute("INSERT INTO r (id, rest) VALUES (?, ?)", row)
    connection.close()
    return number / SECONDS


@contextlib.contextmanager
def _launcher(folder: Path, url: str, receivers: int = 1) -> Iterator[Launched]:
    pipelines = folder / "pipelines"
    pipelines.mkdir(parents=True)
    (pipelines / "release.yaml").write_text("{}")
    words = [str(HERE / "launcher_idle.py"), str(folder), str(pipelines), url, str(receivers)]
    with subprocess.Popen([sys.executable, *words]) as process:
        try:
            while not _answers(folder):
                time.sleep(0.05)
            launched = read_announced(folder), psutil.Process(process.pid)
            while len(_all(launched[1])) < (1 if receivers == 1 else receivers + 1):
                time.sleep(0.05)  # they are made by one process more
            yield launched
            _go_on(launched)
        finally:
            process.terminate()


def _answers(folder: Path) -> bool:
    with contextlib.suppress(httpx.HTTPError, httpx.UnsupportedProtocol):
        return httpx.get(f"{read_announced(folder)}/readyz").status_code == httpx.codes.OK
    return False


def _bench_growth(folder: Path) -> None:
    print_head("One accept and one begin, beside so many past releases")
    for past in PAST:
        state = folder / f"past-{past}"
        state.mkdir()
        with contextlib.closing(Ledger(ledger_url(state))) as ledger:
            _fill(ledger, past)
            accept, begin = _accept_and_begin(ledger)
        print(f"  {past:9,} past: accept {1e6 * accept:6.0f} us, begin {1e6 * begin:6.0f} us")


def _fill(ledger: Ledger, count: int) -> None:
    ledger.accept([[_release("old", "s0")]])
    columns = "service, name, version, state, verdict, reason, image_digest, outcome"
    more = "event_source, event_type, event_attributes, binding, pipeline, engine, parameters"
    with ledger.writing() as connection:
        connection.execute(text("UPDATE release SET state = 'promoted'"))
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
                f"INSERT INTO release (id, event_id, requested_at, {columns}, {more}) "
                f"SELECT 'p' || i, 'p' || i, requested_at, {columns}, {more} FROM n, release "
                "WHERE release.id = 'old'"
            ),
            {"count": count},
        )


def _accept_and_begin(ledger: Ledger, rounds: int = 300) -> tuple[float, float]:
    accepts, begins = 0.0, 0.0
    for number in range(rounds):
        begun = time.perf_counter()
        ledger.accept([[_release(f"n{number}", f"s{number}")]])
        middle = time.perf_counter()
        assert ledger.begin() == (f"n{number}",)
        accepts += middle - begun
        begins += time.perf_counter() - middle
    return accepts / rounds, begins / rounds


def _release(release_id: str, service: str) -> NewRelease:
    return NewRelease(
        id=release_id,
        service=service,
        name="iris",
        version="v1",
        event_source="/bench",
        event_id=release_id,
        event_type="t",
        binding="b",
        pipeline="release",
        engine="local",
        parameters={"release_id": release_id, "service": service},
        event_attributes={"id": release_id},
    )


class _QuickEngine:
    """Ends every run at the second look, and sees to it that no service runs two."""

    name = "local"
    portable = True

    def __init__(self) -> None:
        self._running: dict[str, str] = {}
        self.busy: set[str] = set()
        self.ended = 0

    def submit(self, request: RunRequest) -> None:
        service = request.parameters["service"]
        assert service not in self.busy, f"{service} runs two"
        self.busy.add(service)
        self._running[request.run_id] = service

    def status(self, run_id: str) -> RunStatus | None:
        if run_id not in self._running:
            return None
        self.busy.discard(self._running[run_id])
        self.ended += 1
        task = TaskStatus("promote", TaskState.SUCCEEDED, 1, outputs={"outcome": "promoted"})
        return RunStatus(run_id, RunState.SUCCEEDED, (task,))

    def cancel(self, run_id: str) -> None:
        raise AssertionError(run_id)

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:  # noqa: ARG002
        return b""


def _bench_drain(folder: Path) -> None:
    print_head(f"{QUEUED:,} queued releases over {SERVICES:,} services, with an instant engine")
    state = folder / "drain"
    state.mkdir()
    engine = _QuickEngine()
    with contextlib.closing(Ledger(ledger_url(state))) as ledger:
        ledger.accept([[_release(f"r{n}", f"s{n % SERVICES}")] for n in range(QUEUED)])
        dispatcher = Dispatcher(ledger, {"local": engine}, Path)
        begun = time.perf_counter()
        while dispatcher.tick():
            pass
        elapsed = time.perf_counter() - begun
    assert engine.ended == QUEUED
    print(f"  {QUEUED / elapsed:,.0f} releases a second; no service ran two")


if __name__ == "__main__":
    main()
