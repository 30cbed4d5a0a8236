"""Durable accepts a second, beside bare committed inserts; growth; and how a queue drains."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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
SECONDS = 3.0
PAST = (100, 10_000, 1_000_000)
QUEUED, SERVICES = 10_000, 1_000
HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        _bench_accepts(Path(folder).absolute())
        _bench_growth(Path(folder).absolute())
        _bench_drain(Path(folder).absolute())


def _bench_accepts(folder: Path) -> None:
    print_head("Durable accepts over HTTP, beside a bare loop of committed SQLite inserts")
    floor = _bare_inserts(folder / "bare.db")
    print(f"  bare loop of committed inserts {floor:22,.0f} /s")
    _bench_database(folder / "sqlite", "", floor)
    found = find_postgres()
    if found is None:
        print("  PostgreSQL is not here")
        return
    with running_postgres(found) as postgres:
        _bench_database(folder / "postgresql", postgres.url, floor)


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


def _bench_database(folder: Path, url: str, floor: float) -> None:
    with _launcher(folder, url) as (base, process):
        for connections in CONNECTIONS:
            prefix = f"{folder.name}-{connections}"
            client = [sys.executable, str(HERE / "launcher_client.py"), base]
            words = [*client, str(connections), str(SECONDS), prefix]
            found = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
            memory = process.memory_info().rss / 1e6
            print(
                f"  {folder.name:10} {connections:4} connections {found['per_second']:12,.0f} /s"
                f"  p50 {1000 * found['p50']:6.1f} ms  p99 {1000 * found['p99']:6.1f} ms"
                f"  {memory:4.0f} MB  {found['per_second'] / floor:5.2f} of the bare loop"
            )


@contextlib.contextmanager
def _launcher(folder: Path, url: str) -> Iterator[tuple[str, psutil.Process]]:
    pipelines = folder / "pipelines"
    pipelines.mkdir(parents=True)
    (pipelines / "release.yaml").write_text("{}")
    words = [str(HERE / "launcher_idle.py"), str(folder), str(pipelines), url]
    with subprocess.Popen([sys.executable, *words]) as process:
        try:
            while not _answers(folder):
                time.sleep(0.05)
            yield read_announced(folder), psutil.Process(process.pid)
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
