"""Ends, choices and groups: who runs on every target, whatever is skipped or fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler import argo, tekton
from coalmine.compiler.branches import MOST_TWINS, split_choices
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, OneOf, ParameterRef, TaskOutputRef
from coalmine.compiler.views import to_json, to_mermaid, to_text
from coalmine.engines.local.arguments import arguments_of, outputs_of
from coalmine.engines.local.ended import Ended
from coalmine.engines.local.plan import next_move, unrolled
from coalmine.engines.protocol import TaskState

Outputs = Mapping[tuple[str, str], str]
Run = Callable[..., dict[str, Any]]
READERS = ("status-reader", "status-reader-2")


def run_locally(
    graph: Graph, parameters: Mapping[str, str], outputs: Outputs, failing: Iterable[str] = ()
) -> dict[str, dict[str, str]]:
    """Take the local engine's decisions to the end; gives the arguments of what ran."""
    ended: dict[str, Ended] = {}
    ran: dict[str, dict[str, str]] = {}
    graph = unrolled(graph, parameters, ended)
    tasks = {task.name: task for task in graph.tasks}
    while (move := next_move(graph, parameters, ended)) and (move.ready or move.skipped):
        ended |= {name: Ended(TaskState.SKIPPED) for name in move.skipped}
        for name in move.ready[:1]:
            ran[name] = arguments_of(tasks[name], parameters, ended)
            ended[name] = _ended(tasks[name], outputs, name in set(failing))
    return ran


def _ended(task: Task, outputs: Outputs, fails: bool) -> Ended:
    if fails:
        return Ended(TaskState.FAILED)
    names = [item.name for item in task.outputs]
    written = {key: outputs.get((task.name, key), f"<{key} written>") for key in names}
    return Ended(TaskState.SUCCEEDED, written)


@pytest.fixture
def who_runs(run_graph: Run, run_argo: Run) -> Callable[..., set[str]]:
    """Name what runs by the graph; the local engine and Argo must agree, to the command."""

    def compare(
        graph: Graph,
        parameters: Mapping[str, str],
        outputs: Outputs | None = None,
        failing: Iterable[str] = (),
    ) -> set[str]:
        wanted = run_graph(graph, parameters, outputs or {}, failing)
        assert run_argo(argo.lower(graph), parameters, outputs or {}, failing) == wanted
        assert set(run_locally(graph, parameters, outputs or {}, failing)) == set(wanted)
        return set(wanted)

    return compare


def test_a_part_ends_with_its_exit_task(
    corpus: Path, who_runs: Callable[..., set[str]], run_tekton: Run
) -> None:
    graph = read_graph(corpus / "partial_exit.yaml")
    with_branch = {task.name for task in graph.tasks}
    without = with_branch - {"say-2", "say-3"}
    for mode, names in (("x", with_branch), ("y", without)):
        assert who_runs(graph, {"mode": mode}) == names
        assert set(run_tekton(tekton.lower(graph), {"mode": mode}, {})) == names
    ends = {task.name: set(task.behind) for task in graph.tasks if task.behind}
    assert ends == {"say": {"tick", "say-2", "say-3"}, "tick-2": {"say-4"}}


@pytest.mark.parametrize(
    ("failing", "left_out"),
    [
        ("tick", {"tick-3"}),
        ("say-2", {"say-3", "tick-3"}),
        ("say-3", {"tick-3"}),
        ("say-4", set()),
        ("say", set()),
    ],
)
def test_a_part_ends_with_its_exit_task_after_a_failure(
    corpus: Path,
    who_runs: Callable[..., set[str]],
    run_tekton: Run,
    failing: str,
    left_out: set[str],
) -> None:
    graph = read_graph(corpus / "partial_exit.yaml")
    everything = {task.name for task in graph.tasks}
    assert who_runs(graph, {"mode": "x"}, {}, [failing]) == everything - left_out
    assert {"say", "tick-2"} <= set(run_tekton(tekton.lower(graph), {"mode": "x"}, {}, [failing]))


def test_argo_counts_the_failure_behind_which_a_task_ran(corpus: Path) -> None:
    spec = argo.lower(read_graph(corpus / "ignored_failure.yaml")).document["spec"]
    assert spec["templates"][0]["dag"]["target"] == "tick tick-2"


def test_tekton_says_that_ends_come_last(corpus: Path) -> None:
    (note,) = tekton.lower(read_graph(corpus / "partial_exit.yaml")).notes
    assert note.endswith("after all other tasks: say, tick-2.")


def test_a_value_that_was_not_written_is_the_default(
    corpus: Path, who_runs: Callable[..., set[str]], run_argo: Run
) -> None:
    graph = read_graph(corpus / "ignored_in_the_middle.yaml")
    assert who_runs(graph, {}, {("say", "out"): "x"}) == {"say", "echo", "tick"}
    assert who_runs(graph, {}, {("say", "out"): "x"}, ["say"]) == {"say", "echo", "tick"}
    assert run_locally(graph, {}, {}, ["say"])["echo"] == {"text": "nothing"}
    assert run_argo(argo.lower(graph), {}, {}, ["say"])["echo"][0] == ["echo", "nothing"]
    with pytest.raises(InputError, match=r"echo.*takes a value of say.*may have failed") as caught:
        tekton.lower(graph)
    assert "argo or kfp" in caught.value.fix


def test_tekton_does_not_wait_for_what_comes_last() -> None:
    one, two = task("one"), task("two", behind=("one",))
    with pytest.raises(InputError, match=r"task 'three'.*it waits for two, which runs although"):
        tekton.lower(Graph("g", (), (one, two, task("three", after=("two",)))))


def test_what_ends_a_part_needs_what_the_part_needed(
    who_runs: Callable[..., set[str]], run_tekton: Run
) -> None:
    graph = Graph(
        "g",
        (),
        (task("one"), task("two", after=("one",)), task("end", after=("one",), behind=("two",))),
    )
    assert who_runs(graph, {}) == {"one", "two", "end"}
    assert who_runs(graph, {}, {}, ["one"]) == {"one"}
    assert who_runs(graph, {}, {}, ["two"]) == {"one", "two", "end"}
    assert set(run_tekton(tekton.lower(graph), {}, {}, ["one"])) == {"one"}
    assert set(run_tekton(tekton.lower(graph), {}, {}, ["two"])) == {"one", "two", "end"}


def task(name: str, **fields: Any) -> Task:
    return Task(name=name, component=name, image="i", command=((name,),), **fields)


@pytest.mark.parametrize(
    ("mode", "said", "branch"), [("x", "no", "say-2"), ("y", "yes", "say-3"), ("y", "no", "say-4")]
)
@pytest.mark.parametrize("answer", ["yes", "no"])
def test_the_value_of_the_branch_that_ran(  # noqa: PLR0917 - fixtures and values
    corpus: Path,
    who_runs: Callable[..., set[str]],
    run_graph: Run,
    run_tekton: Run,
    mode: str,
    said: str,
    branch: str,
    answer: str,
) -> None:
    graph = read_graph(corpus / "oneof.yaml")
    outputs = {("say", "out"): said, (branch, "out"): answer}
    ran = who_runs(graph, {"mode": mode}, outputs)
    expected = {"say", branch, "say-5", "say-6", "tick"}
    assert ran == (expected | {"tick-2"} if answer == "yes" else expected)
    wanted = run_graph(graph, {"mode": mode}, outputs)
    assert wanted["say-5"][0][2] == answer
    on_tekton = run_tekton(tekton.lower(graph), {"mode": mode}, outputs)
    assert sorted(map(str, on_tekton.values())) == sorted(map(str, wanted.values()))


def test_nothing_is_taken_from_branches_behind_a_failure(
    corpus: Path, who_runs: Callable[..., set[str]]
) -> None:
    graph = read_graph(corpus / "oneof.yaml")
    assert who_runs(graph, {"mode": "y"}, {}, ["say"]) == {"say"}
    assert who_runs(graph, {"mode": "x"}, {}, ["say"]) == {"say", "say-2"} - {"say-2"}
    assert who_runs(graph, {"mode": "x"}, {}, ["say-2"]) == {"say", "say-2"}


def test_the_output_of_the_branch_that_ran(corpus: Path) -> None:
    graph = read_graph(corpus / "oneof_output.yaml")
    ended = {"say": Ended(TaskState.SKIPPED), "say-2": Ended(TaskState.SUCCEEDED, {"out": "b"})}
    assert outputs_of(graph, {"mode": "y"}, ended) == {"Output": "b"}
    (output,) = argo.lower(graph).document["spec"]["templates"][0]["outputs"]["parameters"]
    assert output["valueFrom"]["expression"].startswith("(tasks['say'].status == 'Succeeded' ? ")
    with pytest.raises(InputError, match="one of several branches"):
        tekton.lower(graph)


def test_a_twin_for_each_branch(corpus: Path) -> None:
    split = split_choices(read_graph(corpus / "oneof.yaml"))
    names = [item.name for item in split.tasks]
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("say-5")] == ["say-5-1", "say-5-2", "say-5-3"]
    assert not any(isinstance(value, OneOf) for item in split.tasks for value in item.values())
    made = [item.name for item in split.tasks if item.name.startswith("tick")]
    assert [name for name in made if re.fullmatch(r"tick-2-\d", name)]


def test_choices_of_the_same_tasks_are_made_together() -> None:
    one, two = task("a", outputs=(Parameter("x"), Parameter("y"))), task("b")
    first = OneOf((TaskOutputRef("a", "x"), TaskOutputRef("b", "x")))
    second = OneOf((TaskOutputRef("a", "y"), TaskOutputRef("b", "y")))
    taker = task("t", arguments=(("x", first), ("y", second)))
    assert len(split_choices(Graph("g", (), (one, two, taker))).tasks) == 4


def test_too_many_twins_are_refused() -> None:
    tasks = [task(f"{letter}{number}") for letter in "abcdefg" for number in (1, 2)]
    values = [
        OneOf((TaskOutputRef(f"{letter}1", "o"), TaskOutputRef(f"{letter}2", "o")))
        for letter in "abcdefg"
    ]
    taker = task("t", arguments=tuple((f"v{at}", value) for at, value in enumerate(values)))
    with pytest.raises(InputError, match=f"'t' would become {2 * MOST_TWINS} tasks"):
        split_choices(Graph("g", (), (*tasks, taker)))


@pytest.mark.parametrize(("mode", "inside"), [("x", True), ("y", False)])
def test_whoever_waits_for_a_group_forgives_a_skip_in_it(
    corpus: Path, who_runs: Callable[..., set[str]], run_tekton: Run, mode: str, inside: bool
) -> None:
    graph = read_graph(corpus / "after_branches.yaml")
    everything = {task.name for task in graph.tasks}
    conditional = {task.name for task in graph.tasks if task.when}
    ran = who_runs(graph, {"mode": mode})
    assert ran == (everything if inside else everything - conditional)
    assert set(run_tekton(tekton.lower(graph), {"mode": mode}, {})) == ran
    if inside:
        for name in everything - {"tick"}:
            assert "tick" not in who_runs(graph, {"mode": mode}, {}, [name])


def test_a_guard_around_the_group_guards_who_waits(who_runs: Callable[..., set[str]]) -> None:
    guard = Comparison(ParameterRef("p"), Operator.EQUAL, Constant("x"))
    waits = task("t", passed=("a",), when=(guard,))
    graph = Graph("g", (Parameter("p"),), (task("a", when=(guard,)), waits))
    assert who_runs(graph, {"p": "x"}) == {"a", "t"}
    assert who_runs(graph, {"p": "y"}) == set()


@pytest.mark.parametrize(
    "name", ["partial_exit", "ignored_failure", "ignored_in_the_middle", "oneof", "after_branches"]
)
def test_the_views_tell_of_it(corpus: Path, name: str) -> None:
    graph = read_graph(corpus / f"{name}.yaml")
    assert all(item.name in to_text(graph) for item in graph.tasks)
    said = to_text(graph) + to_json(graph) + to_mermaid(graph)
    words = [
        "unless failed",
        "ended, however",
        '"waitsForTheEndOf"',
        '"oneOf"',
        '"waitsUnlessFailed"',
    ]
    assert any(word in said for word in words)


@pytest.mark.parametrize(
    "name", ["partial_exit", "ignored_failure", "oneof", "after_branches", "oneof_output"]
)
def test_ends_and_choices_hold_against_the_schemas(
    check_manifest: Callable[[str], int], corpus: Path, name: str
) -> None:
    graph = read_graph(corpus / f"{name}.yaml")
    check_manifest(argo.lower(graph).to_yaml())
    if name != "oneof_output":
        check_manifest(tekton.lower(graph).to_yaml())


@pytest.mark.parametrize(
    ("failing", "states"),
    [
        ([], {"exit-handler-1": "SUCCEEDED", "tick-2": "SUCCEEDED"}),
        (["tick"], {"exit-handler-1": "FAILED", "tick-2": "SUCCEEDED"}),
        (["say-it-0"], {"exit-handler-1": "FAILED", "tick-2": "SUCCEEDED"}),
        (["tick-2"], {"exit-handler-1": "SUCCEEDED", "tick-2": "FAILED"}),
    ],
)
def test_the_final_status_tells_of_the_part(
    corpus: Path, run_argo: Run, failing: list[str], states: dict[str, str]
) -> None:
    graph = read_graph(corpus / "final_status_of_a_part.yaml")
    on_argo = run_argo(argo.lower(graph), {}, {}, failing)
    here = run_locally(graph, {}, {}, failing)
    for said in (
        [json.loads(on_argo[name][0][1]) for name in READERS],
        [json.loads(here[name]["status"]) for name in READERS],
    ):
        assert {one["pipelineTaskName"]: one["state"] for one in said} == states
        assert all(bool(one["error"]) is (one["state"] == "FAILED") for one in said)


def test_the_final_status_of_the_whole(corpus: Path, check_manifest: Callable[[str], int]) -> None:
    graph = read_graph(corpus / "final_status.yaml")
    assert graph.exit_task is not None
    ended = {"tick": Ended(TaskState.FAILED, message="no")}
    status = json.loads(arguments_of(graph.exit_task, {}, ended)["status"])
    assert status["error"] == {"code": 1, "message": "tick: no"}
    assert (status["state"], status["pipelineTaskName"]) == ("FAILED", "exit-handler-1")
    text = argo.lower(graph).to_yaml()
    assert "workflow.status in ['Failed', 'Error']" in text
    check_manifest(text)
    with pytest.raises(InputError, match=r"'status-reader'.*in words of its own"):
        tekton.lower(graph)
