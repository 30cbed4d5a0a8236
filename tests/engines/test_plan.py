"""What runs next, decided without running anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.piece import InputRef, OutputPath
from coalmine.compiler.task import Retry, Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef, Value
from coalmine.engines.local.arguments import arguments_of, outputs_of
from coalmine.engines.local.command import OWN_IMAGE, Places, command_line, own_command
from coalmine.engines.local.ended import Ended, run_state
from coalmine.engines.local.parameters import parameters_of
from coalmine.engines.local.plan import next_move
from coalmine.engines.local.trying import backoff
from coalmine.engines.protocol import RunState, TaskState

SUCCEEDED, FAILED, CANCELLED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED
SKIPPED = TaskState.SKIPPED


def bare(name: str, **fields: Any) -> Task:
    return Task(name=name, component=name, image="i", **fields)


def graph_of(*tasks: Task, parameters: tuple[Parameter, ...] = ()) -> Graph:
    return Graph("g", parameters, tasks)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 7))):
        before = [task.name for task in tasks]
        after = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        right = Constant(draw(st.sampled_from("ab")))
        left = TaskOutputRef(draw(st.sampled_from(before)), "o") if before else Constant("a")
        when = (Comparison(left, draw(st.sampled_from(Operator)), right),)
        tasks.append(
            bare(f"t{number}", after=tuple(after), when=when if draw(st.booleans()) else ())
        )
    return graph_of(*tasks)


@given(graphs(), st.data())
def test_every_run_ends_and_no_task_starts_too_early(graph: Graph, data: st.DataObject) -> None:
    ended: dict[str, Ended] = {}
    for _ in range(len(graph.tasks) + 1):
        move = next_move(graph, {}, ended)
        for name in move.skipped:
            ended[name] = Ended(SKIPPED)
        if not move.ready:
            break
        name = data.draw(st.sampled_from(move.ready))
        task = next(one for one in graph.tasks if one.name == name)
        assert name not in ended
        assert all(ended[other].state is SUCCEEDED for other in task.depends_on())
        state = data.draw(st.sampled_from([SUCCEEDED, SUCCEEDED, FAILED, CANCELLED]))
        ended[name] = Ended(state, {"o": data.draw(st.sampled_from("ab"))})
    assert ended.keys() == {task.name for task in graph.tasks}
    for task in graph.tasks:
        if any(ended[other].state is not SUCCEEDED for other in task.depends_on()):
            assert ended[task.name].state is SKIPPED


@pytest.mark.parametrize(
    ("left", "operator", "right", "runs"),
    [
        ("promote", "==", "promote", True),
        ("promote\n", "==", "promote", False),
        ("", "==", "", True),
        ("Promote", "!=", "promote", True),
        ("promote", "!=", "promote", False),
        ("10", "==", "10.0", False),
        ("10", "<", "9", True),
    ],
)
def test_conditions_compare_exact_text(left: str, operator: str, right: str, runs: bool) -> None:
    when = Comparison(ParameterRef("p"), Operator(operator), Constant(right))
    move = next_move(graph_of(bare("a", when=(when,))), {"p": left}, {})
    assert move.ready == (("a",) if runs else ())
    assert bool(move.skipped) is not runs


@pytest.mark.parametrize(
    ("left", "kind", "operator", "right", "runs"),
    [
        ("10", "NUMBER_INTEGER", ">", "9", True),
        ("10\n", "NUMBER_INTEGER", "==", "10", True),
        ("0.50", "NUMBER_DOUBLE", "<=", "0.5", True),
        ("nan", "NUMBER_DOUBLE", ">=", "0.5", False),
        ("True", "BOOLEAN", "!=", "true", False),
    ],
)
def test_conditions_read_numbers_and_booleans(
    left: str, kind: str, operator: str, right: str, runs: bool
) -> None:
    when = Comparison(ParameterRef("p"), Operator(operator), Constant(right), ParameterType(kind))
    move = next_move(graph_of(bare("a", when=(when,))), {"p": left}, {})
    assert move.ready == (("a",) if runs else ())
    denied = replace(when, negated=True)
    move = next_move(graph_of(bare("a", when=(denied,))), {"p": left}, {})
    assert move.ready == (() if runs else ("a",))


@pytest.mark.parametrize(
    ("left", "right", "says"),
    [
        (TaskOutputRef("gate", "verdict"), Constant("rollback"), "gate's verdict is 'promote'"),
        (Constant("rollback"), TaskOutputRef("gate", "verdict"), "gate's verdict is 'promote'"),
        (ParameterRef("p"), Constant("x"), "the parameter p is ''"),
        (
            TaskOutputRef("gate", "verdict"),
            ParameterRef("p"),
            "gate's verdict is 'promote' and the parameter p is ''",
        ),
        (Constant("a"), Constant("b"), "its condition never holds"),
    ],
)
def test_a_skipped_task_says_what_it_went_by(left: Value, right: Value, says: str) -> None:
    when = Comparison(left, Operator.EQUAL, right)
    graph = graph_of(bare("gate"), bare("a", after=("gate",), when=(when,)))
    move = next_move(graph, {"p": ""}, {"gate": Ended(SUCCEEDED, {"verdict": "promote"})})
    assert move.skipped == {"a": f"not needed: {says}"}


def test_an_exit_code_of_the_whole() -> None:
    assert run_state([Ended(SUCCEEDED), Ended(SKIPPED)]) is RunState.SUCCEEDED
    assert run_state([Ended(SUCCEEDED), Ended(FAILED)]) is RunState.FAILED
    assert run_state([Ended(FAILED), Ended(CANCELLED)]) is RunState.CANCELLED


def parameter(name: str, kind: str, default: str | None = None) -> Parameter:
    return Parameter(name, ParameterType(kind), default)


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("NUMBER_INTEGER", "10", "10"),
        ("NUMBER_INTEGER", " +07\n", "7"),
        ("NUMBER_INTEGER", "10.5", None),
        ("NUMBER_DOUBLE", "2.50", "2.5"),
        ("NUMBER_DOUBLE", "inf", "+Inf"),
        ("NUMBER_DOUBLE", "much", None),
        ("BOOLEAN", "True", "true"),
        ("BOOLEAN", "yes", None),
        ("STRING", "", ""),
        ("LIST", '[1.0, "é<"]', '[1,"é\\u003c"]'),
        ("LIST", '{"a": 1}', None),
        ("LIST", "[NaN]", None),
        ("STRUCT", '{"b": {}, "a": null}', '{"a":null,"b":{}}'),
        ("STRUCT", "{", None),
    ],
)
def test_parameters_have_their_type(kind: str, value: str, written: str | None) -> None:
    """And are written as the KFP backend writes them."""
    graph = graph_of(parameters=(parameter("p", kind),))
    if written is not None:
        assert parameters_of(graph, {"p": value}) == {"p": written}
    else:
        with pytest.raises(InputError, match="p: "):
            parameters_of(graph, {"p": value})


def test_an_optional_parameter_is_left_out_with_what_takes_it() -> None:
    graph = graph_of(parameters=(Parameter("p", optional=True),))
    assert parameters_of(graph, {}) == {}
    task = bare(
        "a",
        inputs=(Parameter("x"), Parameter("y", optional=True)),
        arguments=(("x", ParameterRef("p", otherwise="d")), ("y", ParameterRef("p"))),
    )
    assert arguments_of(task, {}, {}) == {"x": "d"}
    assert arguments_of(task, {"p": ""}, {}) == {"x": "", "y": ""}


def test_outputs_of_the_whole_are_those_that_were_written() -> None:
    outputs = (("one", TaskOutputRef("a", "o")), ("two", TaskOutputRef("b", "o")))
    graph = replace(graph_of(bare("a"), bare("b")), outputs=outputs)
    ended = {"a": Ended(SUCCEEDED, {"o": "1"}), "b": Ended(SKIPPED)}
    assert outputs_of(graph, {}, ended) == {"one": "1"}


def test_defaults_and_missing_values() -> None:
    graph = graph_of(parameters=(parameter("p", "STRING", "d"), parameter("q", "STRING")))
    assert parameters_of(graph, {"q": "1"}) == {"p": "d", "q": "1"}
    with pytest.raises(InputError, match="q: the pipeline g needs a value"):
        parameters_of(graph, {})
    task = bare("a", inputs=(Parameter("x"), Parameter("y", default="e")))
    with pytest.raises(InputError, match="x: task a needs a value"):
        arguments_of(task, {}, {})
    lost = bare("a", inputs=(Parameter("x"),), arguments=(("x", TaskOutputRef("b", "o")),))
    with pytest.raises(InputError, match="output o of task b was never written"):
        arguments_of(lost, {}, {"b": Ended(SKIPPED)})


def test_pieces_become_arguments() -> None:
    task = bare("a", command=(("cmd",), ("--x=", InputRef("x"), "!")), args=((OutputPath("o"),),))
    filled: Mapping[str, Any] = {"o": "/tmp/o"}
    assert command_line(task, Places({"x": "1 2"}, filled)) == ["cmd", "--x=1 2!", "/tmp/o"]


@pytest.mark.parametrize("image", [OWN_IMAGE, f"{OWN_IMAGE}:0.1.0", f"{OWN_IMAGE}:1@sha256:00"])
def test_our_own_image_is_this_python(image: str) -> None:
    argv = own_command(image, ["coalmine", "step", "gate"])
    assert argv == [sys.executable, "-m", "coalmine", "step", "gate"]


@pytest.mark.parametrize(
    ("image", "argv"),
    [
        ("nginx", ["coalmine"]),
        (f"{OWN_IMAGE}-evil:1", ["coalmine"]),
        (f"localhost:5000/{OWN_IMAGE}", ["coalmine"]),
        (OWN_IMAGE, ["sh", "-c", "x"]),
        (OWN_IMAGE, []),
    ],
)
def test_other_images_name_the_engines_that_run_them(image: str, argv: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        own_command(image, argv)
    assert image in caught.value.message
    assert "kfp, tekton or argo" in caught.value.fix


def test_backoff_grows_to_its_limit() -> None:
    retry = Retry(9, backoff_seconds=2, backoff_factor=3, backoff_max_seconds=10)
    assert [backoff(retry, failures) for failures in (1, 2, 3)] == [2, 6, 10]
    assert backoff(Retry(1), 5) == 0
