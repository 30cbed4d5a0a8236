"""What the local engine adds to each task, beside the bare processes of the same commands."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from measure import interleaved, print_head, print_timing

from coalmine.compiler.graph import Graph
from coalmine.compiler.task import Task
from coalmine.engines.local.engine import LocalEngine
from coalmine.engines.protocol import RunRequest, RunState

TASKS, ROUNDS = 20, 7
COMMAND = ["/bin/true"]
OWN_STEP = [sys.executable, "-m", "coalmine", "step", "finalize", "--help"]


def main() -> None:
    tasks = tuple(
        Task(
            name=f"t{n}",
            component="noop",
            image="none",
            command=(("true",),),
            after=(f"t{n - 1}",) if n else (),
        )
        for n in range(TASKS)
    )
    graph = Graph(name="noop", parameters=(), tasks=tasks)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        pipeline = state / "noop.yaml"
        pipeline.write_text("# the reader below gives the graph\n")
        engine = LocalEngine(state, lambda _: graph, host_command=_host_command)
        engine.open()
        try:
            timings = interleaved(
                ROUNDS, bare=_bare, engine=lambda: _run(engine, pipeline), step_start=_own_steps
            )
        finally:
            engine.close()
    print_head(f"Local engine, {TASKS} tasks in a row that do nothing; per task")
    print_timing(list(timings.values()), floor="bare", per=TASKS)
    added = (timings["engine"].median - timings["bare"].median) / TASKS
    print(
        f"  the engine adds {1000 * added:.1f} ms to a task; "
        f"starting `coalmine step` takes {1000 * timings['step_start'].median / TASKS:.0f} ms"
    )


def _host_command(_image: str, _argv: Sequence[str]) -> list[str]:
    return COMMAND


def _bare() -> None:
    for _ in range(TASKS):
        subprocess.run(COMMAND, check=True)


def _own_steps() -> float:
    """Start one real step's process and reckon it for all: it is slow and steady."""
    began = time.perf_counter()
    subprocess.run(OWN_STEP, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * TASKS


def _run(engine: LocalEngine, pipeline: Path) -> float:
    """Take the run's own length: from its first task's start to its last one's end."""
    run_id = f"r{uuid.uuid4().hex[:12]}"
    engine.submit(RunRequest(run_id, pipeline, {}))
    while not (status := engine.status(run_id)) or not status.state.ended:
        threading.Event().wait(0.02)
    assert status.state is RunState.SUCCEEDED, status
    first, last = status.tasks[0].started, status.tasks[-1].ended
    assert first is not None
    assert last is not None
    return (last - first).total_seconds()


if __name__ == "__main__":
    main()
