"""Loops, ends and choices by the real engine: what it makes of them while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coalmine.compiler.graph import Loop
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.task import Retry, Task
from coalmine.compiler.value import Constant, Gathered, LoopItem, OneOf, ParameterRef, TaskOutputRef
from coalmine.engines.protocol import RunState, RunStatus

MakeTask = Callable[..., Task]
WRITE = "pathlib.Path(sys.argv[-1]).write_text({!r})"
ECHO = "pathlib.Path(sys.argv[2]).write_text(sys.argv[1])"

LIST = '[{"name": "a", "of": [1]}, {"name": "b", "of": []}]'


def states(status: RunStatus) -> dict[str, str]:
    return {task.name: task.state.value for task in status.tasks}


def looping(task: MakeTask) -> tuple[list[Task], list[Loop]]:
    item = LoopItem("l", ("name",))
    tasks = [
        task(
            "list",
            WRITE.format('[{"name": "a", "of": [1]}, {"name": "b", "of": []}]'),
            outputs=["o"],
        ),
        task("each", ECHO, inputs={"x": item}, outputs=["o"], loops=("l",), after=("list",)),
        task(
            "in",
            ECHO,
            inputs={"x": LoopItem("m")},
            outputs=["o"],
            loops=("l", "m"),
            after=("list",),
        ),
        task(
            "all",
            ECHO,
            inputs={"x": Gathered("l", TaskOutputRef("each", "o"))},
            outputs=["o"],
            passed=("in",),
        ),
    ]
    inner = LoopItem("l", ("of",), ParameterType.LIST)
    return tasks, [Loop("l", TaskOutputRef("list", "o")), Loop("m", inner, loops=("l",))]


def test_turns_are_made_when_the_list_is_known(bench: Any, task: MakeTask) -> None:
    tasks, loops = looping(task)
    bench.use(*tasks, loops=loops)
    bench.submit()
    status = bench.wait()
    assert status.state is RunState.SUCCEEDED
    assert list(states(status)) == ["list", "each-it-0", "in-it-0-it-0", "each-it-1", "all"]
    assert status.tasks[-1].outputs == {"o": '["a","b"]'}
    assert (bench.state / "runs" / bench.run_id / "in-it-0-it-0.1.log").is_file()


def test_a_run_that_is_cut_off_in_a_loop_goes_on_there(
    bench: Any, task: MakeTask, tmp_path: Path
) -> None:
    done, begun = tmp_path / "done", tmp_path / "begun"
    code = (
        f"p=pathlib.Path({str(begun)!r}); first=sys.argv[1]=='b' and not p.exists();"
        "first and p.touch(); time.sleep(60 if first else 0);"
        f"pathlib.Path({str(done)!r}).open('a').write(sys.argv[1])"
    )
    each = task("each", code, inputs={"x": LoopItem("l")}, loops=("l",))
    bench.use(each, loops=[Loop("l", ParameterRef("p"), 1)], parameters=["p"])
    bench.submit(p='["a", "b", "c"]')
    bench.wait(until=lambda _: begun.exists())
    bench.reopen()
    status = bench.wait()
    assert status.state is RunState.SUCCEEDED
    assert [one.attempts for one in status.tasks] == [1, 2, 1]
    assert done.read_text() == "abc"


COUNT = (
    "d=pathlib.Path({folder!r}); mine=d/(sys.argv[1]+'.on'); mine.touch();"
    "deadline=time.monotonic()+20;"
    "enough=lambda: len(list(d.glob('*.on')))>={wanted} or (d/'enough').exists();\n"
    "while not enough() and time.monotonic()<deadline: time.sleep(.01)\n"
    "(d/'enough').touch(); seen=len(list(d.glob('*.on'))); mine.unlink();"
    "(d/'seen').open('a').write(str(seen))"
)
"""Waits until so many run at once, and writes how many it has seen."""


@pytest.mark.parametrize(("limit", "most"), [(None, 4), (2, 2), (1, 1)])
def test_turns_run_side_by_side_within_the_limit(
    bench: Any, task: MakeTask, tmp_path: Path, limit: int | None, most: int
) -> None:
    code = COUNT.format(folder=str(tmp_path), wanted=most)
    each = task("each", code, inputs={"x": LoopItem("l")}, loops=("l",))
    loop = Loop("l", Constant('["a", "b", "c", "d"]'), limit)
    bench.use(each, task("z", "pass", passed=("each",)), loops=[loop])
    bench.submit()
    status = bench.wait()
    assert status.state is RunState.SUCCEEDED, status
    seen = (tmp_path / "seen").read_text()
    assert len(seen) == 4
    assert max(seen) == str(most)


def test_cancelling_ends_all_turns(bench: Any, task: MakeTask, tmp_path: Path) -> None:
    code = f"pathlib.Path({str(tmp_path)!r}, sys.argv[1]+'.on').touch(); time.sleep(60)"
    each = task("each", code, inputs={"x": LoopItem("l")}, loops=("l",))
    bench.use(each, loops=[Loop("l", Constant('["a", "b", "c"]'))], exit_task=task("z", "pass"))
    bench.submit()
    bench.wait(until=lambda _: len(list(tmp_path.glob("*.on"))) == 3)
    bench.engine.cancel(bench.run_id)
    status = bench.wait()
    assert status.state is RunState.CANCELLED
    assert list(states(status).values()) == ["cancelled"] * 3 + ["succeeded"]


def test_a_list_that_is_none_fails_the_run_and_says_so(bench: Any, task: MakeTask) -> None:
    bench.use(
        task("each", "pass", loops=("l",)),
        loops=[Loop("l", ParameterRef("p"))],
        parameters=["p"],
        exit_task=task("z", "pass"),
    )
    bench.submit(p="none")
    status = bench.wait()
    assert status.state is RunState.FAILED
    assert "the loop 'l' goes over 'none', which is no list" in status.message
    assert states(status)["z"] == "succeeded"


def test_retries_and_timeouts_in_a_loop(bench: Any, task: MakeTask, tmp_path: Path) -> None:
    code = (
        f"p=pathlib.Path({str(tmp_path)!r})/sys.argv[1]; p.open('a').write('x');"
        "time.sleep(60 if sys.argv[1]=='slow' else 0); sys.exit(p.stat().st_size < 2)"
    )
    each = task(
        "each",
        code,
        inputs={"x": LoopItem("l")},
        loops=("l",),
        retry=Retry(max_retries=1, backoff_seconds=0.01),
        timeout_seconds=1,
    )
    bench.use(
        each, task("z", "pass", behind=("each",)), loops=[Loop("l", Constant('["a", "slow"]'))]
    )
    bench.submit()
    status = bench.wait()
    assert states(status) == {"each-it-0": "succeeded", "each-it-1": "failed", "z": "succeeded"}
    assert [one.attempts for one in status.tasks] == [2, 2, 1]
    assert status.state is RunState.FAILED


def test_a_value_of_the_branch_that_ran(bench: Any, task: MakeTask) -> None:
    chosen = OneOf((TaskOutputRef("one", "o"), TaskOutputRef("two", "o")))
    status = bench.run(
        task("one", WRITE.format("1"), outputs=["o"], when=(Constant("x"), Constant("y"))),
        task("two", WRITE.format("2"), outputs=["o"]),
        task("all", ECHO, inputs={"x": chosen}, outputs=["o"], passed=("one", "two")),
    )
    assert status.tasks[-1].outputs == {"o": "2"}
