"""A launcher whose engine takes runs and does nothing: what is measured is the launcher alone.

Called as: launcher_idle.py STATE PIPELINES DATABASE RECEIVERS
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from coalmine.compiler.graph import Graph
from coalmine.compiler.parameter import Parameter
from coalmine.engines.protocol import Engine, RunRequest, RunState, RunStatus
from coalmine.launcher.server import Settings, serve

PARAMETERS = ("release_id", "service", "name", "version", "percent")


class IdleEngine:
    """Every run goes on for ever."""

    name = "local"
    portable = True

    def __init__(self) -> None:
        self._runs: set[str] = set()

    def submit(self, request: RunRequest) -> None:
        self._runs.add(request.run_id)

    def status(self, run_id: str) -> RunStatus | None:
        return RunStatus(run_id, RunState.RUNNING) if run_id in self._runs else None

    def cancel(self, run_id: str) -> None:
        self._runs.discard(run_id)

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:  # noqa: ARG002
        return b""


@contextlib.contextmanager
def _opened(_url: str, _token: str) -> Iterator[Mapping[str, Engine]]:
    yield {"local": IdleEngine()}


def _read_graph(_: Path) -> Graph:
    return Graph("release", tuple(Parameter(name) for name in PARAMETERS), ())


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    state, pipelines, database, receivers = sys.argv[1:]
    serve(
        Settings(
            state=Path(state),
            read_graph=_read_graph,
            pipelines=Path(pipelines),
            database=database,
            open_engines=_opened,
            receivers=int(receivers),
        )
    )
