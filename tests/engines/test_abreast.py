"""Which tasks may start beside those that run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coalmine.compiler.graph import Graph
from coalmine.compiler.task import Task, Turn
from coalmine.engines.local.abreast import AT_ONCE, Abreast, may_start
from coalmine.engines.local.ended import Ended
from coalmine.engines.protocol import TaskState

DONE = Ended(TaskState.SUCCEEDED)
SKIPPED = Ended(TaskState.SKIPPED)


def turn(at: int, name: str, limit: int | None = 2) -> Task:
    return Task(f"{name}{at}", name, "i", turns=(Turn("l", at, limit),))


LOOP = Graph("g", (), tuple(turn(at, name) for at in range(3) for name in "ab"))
READY = [task.name for task in LOOP.tasks]


@pytest.mark.parametrize(
    ("ended", "under_way", "starts"),
    [
        ({}, [], ["a0", "b0", "a1", "b1"]),
        ({"a0": DONE}, ["b0", "a1"], ["b1"]),
        ({"a0": DONE, "b0": DONE}, ["a1"], ["b1", "a2", "b2"]),
        ({"a0": SKIPPED, "a1": SKIPPED, "a2": SKIPPED}, [], ["b0", "b1"]),
        ({"a0": SKIPPED, "b1": DONE}, ["b0"], ["a1"]),
    ],
)
def test_a_limit_counts_turns_that_have_begun_and_not_ended(
    ended: dict[str, Ended], under_way: list[str], starts: list[str]
) -> None:
    ready = [name for name in READY if name not in ended]
    assert may_start(LOOP, ready, ended, under_way) == starts


def test_what_is_in_no_loop_runs_alone() -> None:
    tasks = (Task("x", "x", "i"), turn(0, "a"), Task("y", "y", "i"), turn(1, "a"))
    graph = Graph("g", (), tasks)
    assert may_start(graph, ["x", "a0", "y", "a1"], {}, []) == ["x"]
    assert may_start(graph, ["x", "a0", "y", "a1"], {}, ["x"]) == []
    assert may_start(graph, ["a0", "y", "a1"], {"x": DONE}, []) == ["a0", "a1"]


def test_a_loop_without_a_limit_keeps_to_that_of_the_engine() -> None:
    graph = Graph("g", (), tuple(turn(at, "a", None) for at in range(20)))
    ready = [task.name for task in graph.tasks]
    assert may_start(graph, ready, {}, []) == ready[:AT_ONCE]
    assert may_start(graph, ready, {}, ready[:3]) == ready[3:AT_ONCE]


def test_an_inner_loop_keeps_its_own_limit_in_each_turn_of_the_outer() -> None:
    def both(outer: int, inner: int) -> Task:
        turns = (Turn("o", outer), Turn(f"i-it-{outer}", inner, 1))
        return Task(f"t{outer}{inner}", "t", "i", turns=turns)

    graph = Graph("g", (), tuple(both(one, two) for one in range(2) for two in range(2)))
    assert may_start(graph, ["t00", "t01", "t10", "t11"], {}, []) == ["t00", "t10"]


def test_an_error_of_a_task_is_that_of_who_waits() -> None:
    def broken() -> Any:
        raise RuntimeError("no luck")

    works: dict[str, Callable[[], Ended]] = {"a": broken}
    abreast = Abreast()
    with pytest.raises(RuntimeError, match="no luck"):
        abreast.first(works)
    abreast.close()
