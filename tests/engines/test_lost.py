"""A run whose record cannot be written goes on once it can be, and so does one that was killed.

Engines of their own: a process has one at a time.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, LoopItem
from coalmine.engines.local import LocalEngine
from coalmine.engines.local.keeper import Keeper, missed
from coalmine.engines.protocol import RunRequest, RunState, RunStatus, TaskState

MakeTask = Callable[..., Task]


def test_a_run_is_missed_from_when_it_was_first_seen_without_a_thread() -> None:
    assert missed({}, ["a", "b"], ["b"], 3.0) == {"a": 3.0}
    assert missed({"a": 1.0, "gone": 1.0}, ["a", "b"], [], 3.0) == {"a": 1.0, "b": 3.0}


def test_a_run_is_resumed_after_the_grace_time_and_not_at_every_look() -> None:
    now = [0.0]
    resumed: list[str] = []
    carried = {"b"}
    keeper = Keeper(
        lambda: {"a", "b"},
        lambda: carried,
        resumed.append,
        threading.Event(),
        grace=5,
        monotonic=lambda: now[0],
    )
    for now[0] in (0.0, 4.9, 5.0, 6.0, 9.9):
        keeper.look()
    assert resumed == ["a"]
    now[0] = 10.0
    keeper.look()
    assert resumed == ["a", "a"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux"):
        pytest.skip("needs tmpfs")
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def wait(engine: LocalEngine, until: Callable[[RunStatus], bool]) -> RunStatus:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = engine.status("r1")
        if status and until(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"still waiting: {engine.status('r1')}")


@pytest.mark.integration
def test_a_disk_that_is_full_in_mid_run(small_disk: Path, tmp_path: Path, task: MakeTask) -> None:
    """The run's thread is lost while the disk is full; without a restart it goes on."""
    go, begun = tmp_path / "go", tmp_path / "begun"
    code = (
        f"pathlib.Path({str(begun)!r}).touch(); go=pathlib.Path({str(go)!r});"
        "exec('while not go.exists(): time.sleep(0.02)');"
        "print('x'*9)"
    )
    graph = Graph("g", (), (task("a", code), task("b", "pass")), task("z", "pass"))
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text("anything")
    engine = LocalEngine(
        small_disk / "state", lambda _: graph, host_command=lambda _, argv: list(argv), grace=0.5
    )
    engine.open()
    try:
        engine.submit(RunRequest("r1", pipeline, {}))
        wait(engine, lambda _: begun.exists())
        fill(small_disk / "filler")
        go.touch()
        wait(engine, lambda _: not engine.carried())
        assert engine.status("r1").state is RunState.RUNNING  # type: ignore[union-attr]
        (small_disk / "filler").unlink()
        status = wait(engine, lambda status: status.state.ended)
    finally:
        engine.close()
    assert status.state is RunState.SUCCEEDED, status
    assert {one.state for one in status.tasks} == {TaskState.SUCCEEDED}


def test_what_cannot_be_recorded_is_no_end_of_the_run(
    own_bench: Any, task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the record that passes at once leaves no chance to be recorded as the end."""
    import sqlite3  # noqa: PLC0415

    from dbos._sys_db import SystemDatabase  # noqa: PLC0415
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    record, errors = SystemDatabase.record_operation_result, [1]

    def fail_once(*args: Any, **options: Any) -> None:
        if errors:
            errors.pop()
            cause = sqlite3.OperationalError("database or disk is full")
            raise OperationalError("INSERT", {}, cause)
        record(*args, **options)

    monkeypatch.setattr(SystemDatabase, "record_operation_result", fail_once)
    status = own_bench.run(task("a", "pass"), task("b", "pass"), exit_task=task("z", "pass"))
    assert not errors
    assert status.state is RunState.SUCCEEDED
    assert [one.state for one in status.tasks] == [TaskState.SUCCEEDED] * 3


ENGINE = """
import pickle, sys, time
from pathlib import Path
from coalmine.engines.local import LocalEngine
from coalmine.engines.protocol import RunRequest
state, pipeline, graph = sys.argv[1], Path(sys.argv[2]), pickle.loads(bytes.fromhex(sys.argv[3]))
engine = LocalEngine(Path(state), lambda _: graph, host_command=lambda image, argv: list(argv))
engine.open()
engine.submit(RunRequest("r1", pipeline, {}))
time.sleep(60)
"""


def test_several_turns_survive_a_kill(own_bench: Any, task: MakeTask, tmp_path: Path) -> None:
    code = (
        f"d=pathlib.Path({str(tmp_path)!r}); p=d/(sys.argv[1]+'.on'); first=not p.exists();"
        "p.touch(); time.sleep(60 if first and sys.argv[1]!='a' else 0);"
        "(d/'done').open('a').write(sys.argv[1])"
    )
    each = task("each", code, inputs={"x": LoopItem("l")}, loops=("l",))
    loop = Loop("l", Constant('["a", "b", "c", "d"]'), 3)
    own_bench.use(each, task("z", "pass", passed=("each",)), loops=[loop])
    own_bench.engine.close()
    graph = pickle.dumps(own_bench.graph).hex()
    command = [sys.executable, "-c", ENGINE, str(own_bench.state), str(own_bench.pipeline), graph]
    deadline = time.monotonic() + 60
    with subprocess.Popen(command) as engine:
        while len(list(tmp_path.glob("*.on"))) < 4 and time.monotonic() < deadline:
            assert engine.poll() is None
            time.sleep(0.02)
        engine.kill()
    own_bench.reopen()
    status = own_bench.wait()
    assert status.state is RunState.SUCCEEDED
    assert [one.attempts for one in status.tasks] == [1, 2, 2, 2, 1]
    assert sorted((tmp_path / "done").read_text()) == ["a", "b", "c", "d"]


def test_a_state_folder_of_any_name(own_bench: Any, tmp_path: Path, task: MakeTask) -> None:
    own_bench.state = tmp_path / "50% off? #1 é"
    own_bench.reopen()
    assert own_bench.run(task("a", "pass")).state is RunState.SUCCEEDED
    assert (own_bench.state / "engine.db").is_file()
    assert {one.name for one in tmp_path.iterdir()} == {
        own_bench.state.name,
        "state",
        "pipeline.yaml",
    }
