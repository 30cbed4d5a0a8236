"""Real processes through the real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.task import Retry, Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef
from coalmine.engines.local.journal import first_page, page_for, read_page
from coalmine.engines.protocol import RunState, RunStatus, TaskState

MakeTask = Callable[..., Task]
WRITE = "pathlib.Path(sys.argv[-1]).write_text({!r})"


def states(status: RunStatus) -> dict[str, str]:
    return {task.name: task.state.value for task in status.tasks}


def test_values_travel_from_task_to_task(bench: Any, task: MakeTask) -> None:
    bench.use(
        task(
            "a",
            "pathlib.Path(sys.argv[2]).write_bytes((sys.argv[1]+' é\\n').encode())",
            inputs={"x": ParameterRef("p")},
            outputs=["o"],
        ),
        task(
            "b",
            "pathlib.Path(sys.argv[2]).write_bytes(sys.argv[1].encode())",
            inputs={"x": TaskOutputRef("a", "o")},
            outputs=["o"],
        ),
        parameters=["p"],
    )
    bench.submit(p="$HOME 'q' \"{{x}}\"")
    status = bench.wait()
    assert status.state is RunState.SUCCEEDED
    assert status.tasks[1].outputs == {"o": "$HOME 'q' \"{{x}}\" é\n"}
    assert status.tasks[0].attempts == 1
    assert status.tasks[0].started <= status.tasks[0].ended <= status.tasks[1].started


def test_conditions_skip_and_skips_spread(bench: Any, task: MakeTask) -> None:
    verdict, promote = TaskOutputRef("gate", "v"), Constant("promote")
    status = bench.run(
        task("gate", WRITE.format("promote"), outputs=["v"]),
        task("promote", "pass", when=(verdict, promote)),
        task("rollback", "pass", unless=(verdict, promote)),
        task("behind", "pass", after=("rollback",)),
        exit_task=task("finalize", WRITE.format("promoted"), outputs=["outcome"]),
    )
    assert status.state is RunState.SUCCEEDED
    assert states(status) == {
        "gate": "succeeded",
        "promote": "succeeded",
        "rollback": "skipped",
        "behind": "skipped",
        "finalize": "succeeded",
    }
    assert status.tasks[2].message == "not needed: gate's v is 'promote'"


def test_retries_until_it_works(bench: Any, task: MakeTask, tmp_path: Path) -> None:
    count = (
        f"p=pathlib.Path({str(tmp_path / 'n')!r}); p.open('a').write('x'); print('try');"
        "sys.exit({})"
    )
    retry = Retry(max_retries=3, backoff_seconds=0.01)
    status = bench.run(
        task("a", count.format("p.stat().st_size < 3"), retry=retry),
        task("b", "sys.exit(1)", retry=Retry(max_retries=1, backoff_seconds=0.01)),
        task("c", "sys.exit(2)", retry=retry),
    )
    assert [(t.state.value, t.attempts) for t in status.tasks] == [
        ("succeeded", 3),
        ("failed", 2),
        ("failed", 1),
    ]
    assert "exited with 1" in status.tasks[1].message
    assert (bench.state / "runs" / bench.run_id / "a.3.log").is_file()
    whole = bench.engine.logs(bench.run_id, "a")
    assert whole == b"try\n" * 3
    assert bench.engine.logs(bench.run_id, "a", 5) == whole[5:]
    assert (
        bench.engine.logs(bench.run_id, "a", len(whole))
        == bench.engine.logs(bench.run_id, "../a")
        == b""
    )


def test_tasks_know_the_state_folder(bench: Any, task: MakeTask) -> None:
    code = "pathlib.Path(sys.argv[1]).write_text(os.environ['COALMINE_STATE'] + os.environ['E'])"
    status = bench.run(task("a", code, outputs=["o"], env=(("E", "!"),)))
    assert status.tasks[0].outputs == {"o": f"{bench.state}!"}


def test_wrong_input_begins_nothing(bench: Any, task: MakeTask) -> None:
    bench.use(task("a", "pass"), parameters=["p"])
    with pytest.raises(InputError, match="p: "):
        bench.submit()
    with pytest.raises(InputError, match="unknown"):
        bench.submit(p="1", unknown="2")
    bench.use(Task(name="a", component="a", image="nginx"))
    with pytest.raises(InputError, match="task a: nginx"):
        bench.submit()
    assert bench.engine.status(bench.run_id) is None
    assert not (bench.state / "runs" / bench.run_id).exists()


def test_the_same_id_is_the_same_run(bench: Any, task: MakeTask, tmp_path: Path) -> None:
    code = f"pathlib.Path({str(tmp_path / 'n')!r}).open('a').write('x')"
    bench.run(task("a", code))
    bench.submit()
    bench.reopen()
    bench.submit()
    assert bench.wait().state is RunState.SUCCEEDED
    assert (tmp_path / "n").read_text() == "x"


def test_a_running_task_shows_and_can_be_cancelled(bench: Any, task: MakeTask) -> None:
    bench.use(
        task("a", "time.sleep(60)", retry=Retry(max_retries=5)),
        task("b", "pass"),
        exit_task=task("z", "pass"),
    )
    bench.submit()
    status = bench.wait(until=lambda s: s.tasks[0].state is TaskState.RUNNING)
    assert status.state is RunState.RUNNING
    assert status.tasks[0].started is not None
    bench.engine.cancel(bench.run_id)
    status = bench.wait()
    assert status.state is RunState.CANCELLED
    assert states(status) == {"a": "cancelled", "b": "cancelled", "z": "succeeded"}
    assert status.message == "the run was cancelled"
    bench.engine.cancel(bench.run_id)
    bench.engine.cancel("nobody")
    assert bench.engine.status("nobody") is None


def test_a_run_that_is_cancelled_before_it_is_submitted(bench: Any, task: MakeTask) -> None:
    bench.engine.cancel(bench.run_id)
    status = bench.run(task("a", "time.sleep(60)"), exit_task=task("z", "sys.exit(1)"))
    assert status.state is RunState.CANCELLED
    assert states(status) == {"a": "cancelled", "z": "failed"}
    assert status.message.startswith("the run was cancelled; z: it exited with 1")


def test_closing_ends_the_process_and_the_run_goes_on(
    bench: Any, task: MakeTask, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    code = (
        f"p=pathlib.Path({str(tmp_path / 'begun')!r}); first=not p.exists(); p.write_text('');"
        f"time.sleep(60 if first else 0); pathlib.Path({str(done)!r}).open('a').write('x')"
    )
    bench.use(task("before", f"pathlib.Path({str(done)!r}).open('a').write('b')"), task("a", code))
    bench.submit()
    bench.wait(until=lambda _: (tmp_path / "begun").exists())
    bench.reopen()
    status = bench.wait()
    assert status.state is RunState.SUCCEEDED
    assert [t.attempts for t in status.tasks] == [1, 2]
    assert done.read_text() == "bx"


@pytest.mark.parametrize("journal", ['{"run_id":"x"}', "[]", "{", "\udcff"])
def test_a_journal_that_cannot_be_read_is_made_anew(
    task: MakeTask, tmp_path: Path, journal: str
) -> None:
    graph = Graph("g", (), (task("a", "pass"),), exit_task=task("z", "pass"))
    path = tmp_path / "journal.json"
    path.write_bytes(journal.encode("utf-8", "surrogateescape"))
    assert read_page(path) is None
    assert page_for(path, "r1", graph) == first_page("r1", graph)


def test_a_run_whose_journal_cannot_be_read_goes_on(
    bench: Any, task: MakeTask, tmp_path: Path
) -> None:
    go, begun = tmp_path / "go", tmp_path / "begun"
    code = (
        f"pathlib.Path({str(begun)!r}).touch(); go=pathlib.Path({str(go)!r});"
        "exec('while not go.exists(): time.sleep(0.02)')"
    )
    bench.use(task("a", code), exit_task=task("z", "pass"))
    bench.submit()
    bench.wait(until=lambda _: begun.exists())
    bench.engine.close()
    (bench.state / "runs" / bench.run_id / "journal.json").write_text("{")
    go.touch()
    bench.reopen()
    status = bench.wait()
    assert status.state is RunState.SUCCEEDED
    assert states(status) == {"a": "succeeded", "z": "succeeded"}
