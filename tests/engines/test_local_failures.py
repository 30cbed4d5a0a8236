"""Tasks that fail: what is said of them, and that the exit task runs whatever it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, TaskOutputRef
from coalmine.engines.local.ended import Ended
from coalmine.engines.protocol import RunState, RunStatus, TaskState

MakeTask = Callable[..., Task]


def states(status: RunStatus) -> dict[str, str]:
    return {task.name: task.state.value for task in status.tasks}


def alive(pid: int) -> bool:
    """A zombie is not: nobody may be there to reap an orphan."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_exit_task_runs_after_a_failure(bench: Any, task: MakeTask) -> None:
    status = bench.run(
        task(
            "a",
            "print(json.dumps({'message': 'broken', 'fix': 'mend it', 'final': True}),"
            "file=sys.stderr); print('noise'); sys.exit(1)",
        ),
        task("b", "pass", after=("a",)),
        exit_task=task("z", "pass"),
    )
    assert status.state is RunState.FAILED
    assert states(status) == {"a": "failed", "b": "skipped", "z": "succeeded"}
    assert status.message == "a: broken (fix: mend it)"


def test_the_exit_task_runs_after_a_log_that_cannot_be_read(bench: Any, task: MakeTask) -> None:
    log = "pathlib.Path(os.readlink('/proc/self/fd/1'))"
    status = bench.run(
        task("a", f"{log}.unlink(); sys.exit(1)"),
        task("b", "pass", after=("a",)),
        exit_task=task("z", "pass"),
    )
    assert states(status) == {"a": "failed", "b": "skipped", "z": "succeeded"}
    assert "exited with 1" in status.tasks[0].message


def test_the_exit_task_runs_after_a_decision_that_cannot_be_made(
    bench: Any, task: MakeTask
) -> None:
    """A condition on an output that no task declares: nobody can tell what comes next."""
    status = bench.run(
        task("a", "pass"),
        task("b", "pass", when=(TaskOutputRef("a", "nothing"), Constant("x"))),
        exit_task=task("z", "pass"),
    )
    assert states(status)["z"] == "succeeded"
    assert status.state is RunState.FAILED
    assert "the output nothing of task a was never written" in status.message


def test_the_exit_task_runs_after_an_error_that_nobody_foresaw(
    bench: Any, task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect(*_: object) -> Ended:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("coalmine.engines.local.trying.collect", collect)
    status = bench.run(task("a", "pass"), exit_task=task("z", "sys.exit(1)"))
    assert status.tasks[0].message == "it broke: no such thing"
    assert states(status) == {"a": "failed", "z": "failed"}
    assert status.message == "a: it broke: no such thing"


def test_a_timeout_ends_the_whole_group(bench: Any, task: MakeTask, tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    code = (
        "import subprocess; c = subprocess.Popen(['sleep', '60']);"
        f"pathlib.Path({str(pids)!r}).write_text(str(c.pid)); c.wait()"
    )
    status = bench.run(task("a", code, timeout_seconds=1))
    assert status.tasks[0].message == "it took longer than 1 s and was ended"
    assert not alive(int(pids.read_text()))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("pass", "did not write its output o"),
        ("pathlib.Path(sys.argv[-1]).write_bytes(b'\\xff')", "cannot be read"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("raise SystemExit('sorry')", "sorry"),
    ],
)
def test_failures_say_why(bench: Any, task: MakeTask, code: str, message: str) -> None:
    status = bench.run(task("a", code, outputs=["o"]))
    assert status.tasks[0].state is TaskState.FAILED
    assert message in status.tasks[0].message


def test_an_output_of_another_type_is_a_failure(bench: Any, task: MakeTask) -> None:
    made = task("a", "pathlib.Path(sys.argv[-1]).write_text('many')", outputs=["o"])
    counted = replace(made, outputs=(Parameter("o", ParameterType.INTEGER),))
    status = bench.run(counted)
    assert status.tasks[0].state is TaskState.FAILED
    assert "output o: 'many' is no NUMBER_INTEGER" in status.tasks[0].message


def test_a_value_no_process_can_take(bench: Any, task: MakeTask) -> None:
    status = bench.run(
        task("a", "pathlib.Path(sys.argv[-1]).write_bytes(b'\\0')", outputs=["o"]),
        task("b", "pass", inputs={"x": TaskOutputRef("a", "o")}),
    )
    assert "could not be started" in status.tasks[1].message
