"""A launcher whose engine counts: each submission is a run, as an engine without our care has it.

Called as: counting.py STATE PIPELINES PORT DATABASE RECEIVERS ENGINE SECONDS
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine._base.log import log_json_lines
from coalmine.compiler.graph import Graph
from coalmine.compiler.parameter import Parameter
from coalmine.engines.protocol import (
    Engine,
    RunRequest,
    RunState,
    RunStatus,
    TaskState,
    TaskStatus,
)
from coalmine.launcher.server import Settings, serve

LEASE = 4.0
"""Longer than the time between two signs of life, or one that lives is taken for dead."""
PARAMETERS = ("release_id", "service", "name", "version", "percent")


class CountingEngine:
    """Runs that take a time and end in a promotion, in a database that several launchers share.

    Its clock is the machine's monotonic one, which no test makes jump.
    """

    name = "local"
    portable = True

    def __init__(self, path: Path, seconds: float) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._seconds = seconds
        for statement in (
            "PRAGMA busy_timeout=20000",
            "PRAGMA journal_mode=WAL",
            "CREATE TABLE IF NOT EXISTS run (id TEXT, service TEXT, begun REAL, ended REAL)",
            "CREATE INDEX IF NOT EXISTS by_id ON run (id)",
        ):
            self._connection.execute(statement)

    def submit(self, request: RunRequest) -> None:
        """Begin a run, whether there is one of this id or not."""
        row = (request.run_id, request.parameters["service"], time.monotonic())
        with self._lock:
            self._connection.execute("INSERT INTO run VALUES (?, ?, ?, NULL)", row)

    def status(self, run_id: str) -> RunStatus | None:
        """Tell how a run goes."""
        with self._lock:
            query = "SELECT begun, ended FROM run WHERE id = ?"
            found = self._connection.execute(query, (run_id,)).fetchone()
            if found is None:
                return None
            begun, ended = found
            now = time.monotonic()  # once: what is told to have ended has its end written
            if now - begun < self._seconds:
                return RunStatus(run_id, RunState.RUNNING)
            if ended is None:
                change = "UPDATE run SET ended = ? WHERE id = ?"
                self._connection.execute(change, (now, run_id))
        task = TaskStatus("promote", TaskState.SUCCEEDED, 1, outputs={"outcome": "promoted"})
        return RunStatus(run_id, RunState.SUCCEEDED, (task,))

    def cancel(self, run_id: str) -> None:
        """Let it end by itself."""

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        """Give nothing: its tasks write none."""
        return b""


def read_graph(_: Path) -> Graph:
    return Graph("release", tuple(Parameter(name) for name in PARAMETERS), ())


def main(words: Sequence[str]) -> None:
    state, pipelines, port, database, receivers, engine, seconds = words
    counting = CountingEngine(Path(engine), float(seconds))

    @contextlib.contextmanager
    def opened(_url: str, _token: str) -> Iterator[Mapping[str, Engine]]:
        yield {"local": counting}

    log_json_lines()
    try:
        serve(
            Settings(
                state=Path(state),
                read_graph=read_graph,
                pipelines=Path(pipelines),
                port=int(port),
                database=database,
                receivers=int(receivers),
                open_engines=opened,
                lease=LEASE,
            )
        )
    except CoalmineError as error:
        sys.exit(json.dumps(str(error)))


if __name__ == "__main__":
    main(sys.argv[1:])
