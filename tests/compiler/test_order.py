from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.order import ancestors, inherited_conditions, sort_tasks, waits_for
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, ParameterRef


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Tasks that only wait for earlier ones, in any order."""
    count = draw(st.integers(1, 8))
    tasks = []
    for index in range(count):
        after = draw(st.sets(st.integers(0, index - 1))) if index else set()
        guarded = draw(st.booleans())
        guard = Comparison(ParameterRef(f"p{index}"), Operator.EQUAL, Constant("x"))
        tasks.append(
            Task(
                name=f"t{index}",
                component="c",
                image="i",
                after=tuple(f"t{other}" for other in sorted(after)),
                when=(guard,) if guarded else (),
            )
        )
    return draw(st.permutations(tasks))


def reachable(tasks: list[Task]) -> dict[str, set[str]]:
    direct = {task.name: set(task.depends_on()) for task in tasks}
    while True:
        wider = {key: of.union(*(direct[name] for name in of)) for key, of in direct.items()}
        if wider == direct:
            return direct
        direct = wider


@given(tasks=graphs())
def test_each_stands_behind_what_it_waits_for(tasks: list[Task]) -> None:
    ordered = sort_tasks(tasks)
    assert {task.name for task in ordered} == {task.name for task in tasks}
    seen: set[str] = set()
    for task in ordered:
        assert task.depends_on() <= seen
        seen.add(task.name)


@given(tasks=graphs())
def test_the_order_does_not_depend_on_the_order_given(tasks: list[Task]) -> None:
    assert sort_tasks(tasks) == sort_tasks(tasks[::-1])


@given(tasks=graphs())
def test_reduction_loses_no_dependency(tasks: list[Task]) -> None:
    ordered = sort_tasks(tasks)
    assert reachable(list(ordered)) == reachable(tasks)
    above = ancestors(ordered)
    assert {name: set(of) for name, of in above.items()} == reachable(tasks)
    for task in ordered:
        kept = set(waits_for(task, above))
        assert kept.union(*(above[name] for name in kept)) == above[task.name]


@given(tasks=graphs())
def test_conditions_are_inherited_from_everything_above(tasks: list[Task]) -> None:
    ordered = sort_tasks(tasks)
    by_name = {task.name: task for task in ordered}
    above = ancestors(ordered)
    for name, conditions in inherited_conditions(ordered).items():
        group = [by_name[other] for other in (*above[name], name)]
        assert set(conditions) == {guard for task in group for guard in task.when}
        assert len(conditions) == len(set(conditions))


def test_a_circle_is_named() -> None:
    one = Task(name="one", component="c", image="i", after=("two",))
    two = Task(name="two", component="c", image="i", after=("one",))
    with pytest.raises(InputError, match=r"in a circle: (one -> two -> one|two -> one -> two)"):
        sort_tasks([one, two])
