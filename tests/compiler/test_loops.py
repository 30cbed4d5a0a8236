"""Loops: the same turns, with the same values, on the local engine, on Argo and on Tekton."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler import argo, tekton
from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.ir import read_graph
from coalmine.compiler.items import item_text, list_text, read_items
from coalmine.compiler.loops import expand, expand_constants
from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, Gathered, Joined, LoopItem, TaskOutputRef
from coalmine.compiler.views import to_json, to_text
from coalmine.engines.local.arguments import arguments_of
from coalmine.engines.local.ended import Ended
from coalmine.engines.local.plan import next_move, unrolled
from coalmine.engines.protocol import TaskState

Outputs = Mapping[tuple[str, str], str]
Run = Callable[..., dict[str, Any]]
ON_TEKTON = ["loop", "loop_of_dicts", "loop_with_choice"]


def run_locally(
    graph: Graph, parameters: Mapping[str, str], outputs: Outputs, failing: Iterable[str] = ()
) -> set[str]:
    """Take the local engine's decisions to the end; gives the names of what ran."""
    ended: dict[str, Ended] = {}
    ran: set[str] = set()
    graph = unrolled(graph, parameters, ended)
    while (move := next_move(graph, parameters, ended)) and (move.ready or move.skipped):
        ended |= {name: Ended(TaskState.SKIPPED) for name in move.skipped}
        for name in move.ready[:1]:
            (task,) = [task for task in graph.tasks if task.name == name]
            assert arguments_of(task, parameters, ended) is not None
            ran.add(name)
            state = TaskState.FAILED if name in failing else TaskState.SUCCEEDED
            keys = [item.name for item in task.outputs] + [item.name for item in task.made]
            keys = keys if name not in failing else []
            written = {key: outputs.get((name, key), f"<{key} written>") for key in keys}
            ended[name] = Ended(state, written)
        graph = unrolled(graph, parameters, ended)
    assert all(task.name in ended for task in graph.tasks)
    return ran


@pytest.fixture
def turns(run_graph: Run, run_argo: Run, run_tekton: Run) -> Callable[..., dict[str, Any]]:
    """Run a graph everywhere; gives the commands, by name."""

    def compare(
        graph: Graph,
        parameters: Mapping[str, str],
        outputs: Outputs | None = None,
        failing: Iterable[str] = (),
    ) -> dict[str, Any]:
        wanted = run_graph(graph, parameters, outputs or {}, failing)
        assert run_argo(argo.lower(graph), parameters, outputs or {}, failing) == wanted
        assert run_locally(graph, parameters, outputs or {}, failing) == set(wanted)
        return wanted

    return compare


def texts(ran: Mapping[str, Any]) -> dict[str, str]:
    return {name: command[0][2] for name, command in ran.items() if command[0][0] == "say"}


def test_a_loop_over_constants(
    corpus: Path, turns: Callable[..., dict[str, Any]], run_tekton: Run
) -> None:
    graph = read_graph(corpus / "loop.yaml")
    outputs = {(f"count-up-it-{at}", "total"): str(at + 1) for at in range(3)}
    ran = turns(graph, {"prefix": "p"}, outputs)
    assert set(ran) == {"count-up-it-0", "count-up-it-1", "count-up-it-2", "say-it-1", "eat"}
    assert [ran[f"count-up-it-{at}"][0][1] for at in range(3)] == ["1", "2", "3"]
    assert json.loads(ran["eat"][0][1]) == [1, 2, 3]
    assert run_tekton(tekton.lower(graph), {"prefix": "p"}, outputs) == ran


@pytest.mark.parametrize(("mode", "chosen"), [("x", "trained-2"), ("y", "trained-3")])
def test_artifacts_go_into_loops(
    corpus: Path,
    run_graph: Run,
    run_argo: Run,
    mode: str,
    chosen: str,
) -> None:
    graph = read_graph(corpus / "loop_of_artifacts.yaml")
    manifest = argo.lower(graph)
    wanted = run_graph(graph, {"mode": mode}, {})
    ran = run_argo(manifest, {"mode": mode}, {("returned", "Output-about"): "<told>"})
    assert ran.keys() == wanted.keys() == run_locally(graph, {"mode": mode}, {})
    wrapped = {name for name in ran if "python3" in ran[name][0]}
    assert {name for name in wrapped if name.startswith("read-back")} == {
        f"read-back-it-{outer}-it-{inner}" for outer in (0, 1) for inner in (0, 1)
    }
    plain = ran.keys() - wrapped
    assert {name: ran[name] for name in plain} == {name: wanted[name] for name in plain}
    for outer in (0, 1):
        assert ran[f"refined-it-{outer}"][0][1] == "<data of trained>"
        assert ran[f"reader-it-{outer}"][0][1] == f"<made of refined-it-{outer}>"
        for inner in (0, 1):
            turn = f"it-{outer}-it-{inner}"
            assert ran[f"refined-2-{turn}"][0][1] == f"<made of refined-it-{outer}>"
            assert ran[f"reader-2-{turn}"][0][1] == f"<made of refined-2-{turn}>"
            assert ran[f"reader-3-{turn}"][0][1] == f"<data of {chosen}>"
            told = ran[f"read-back-{turn}"][0]
            assert any("<Output of returned>" in text for text in told)
            assert any("<told>" in text for text in told)


def test_a_limit_makes_turns_wait_on_tekton(corpus: Path) -> None:
    graph = read_graph(corpus / "loop.yaml")
    tasks = {task["name"]: task for task in tekton.lower(graph).document["spec"]["tasks"]}
    assert "runAfter" not in tasks["count-up-it-1"]
    assert tasks["count-up-it-2"]["runAfter"] == ["count-up-it-0", "say-it-0"]
    (outer,) = [
        one for one in argo.lower(graph).document["spec"]["templates"] if "parallelism" in one
    ]
    assert outer["parallelism"] == 2
    (each,) = outer["dag"]["tasks"]
    limited = read_graph(corpus / "loop_limited.yaml")
    after = [task.get("runAfter") for task in tekton.lower(limited).document["spec"]["tasks"]]
    assert after == [None, ["count-up-it-0"], None]
    assert each["withItems"] == ["1", "2", "3"]


@pytest.mark.parametrize("mode", ["x", "y"])
@pytest.mark.parametrize("yes", [set(), {"say-5-it-0"}, {"say-5-it-0", "say-5-it-1"}])
def test_loops_in_branches_in_loops(
    corpus: Path,
    turns: Callable[..., dict[str, Any]],
    run_tekton: Run,
    mode: str,
    yes: set[str],
) -> None:
    graph = read_graph(corpus / "loop_of_dicts.yaml")
    outputs = {(name, "out"): "yes" for name in yes} | {("say", "out"): "<first>"}
    ran = turns(graph, {"mode": mode}, outputs)
    inner = {name for name in ran if name.count("-it-") == 2}
    assert len(inner) == (6 * len(yes) if mode == "x" else 0)
    found = texts(ran)
    assert [found[f"say-2-it-{at}"] for at in (0, 1)] == ["1", "2"]
    assert [found[f"say-3-it-{at}"] for at in (0, 1)] == ["x", "its"]
    assert [found[f"say-4-it-{at}"] for at in (0, 1)] == ["<first>", "<first>"]
    if inner:
        assert {"w", "x", "yes", "<first>"} == {found[name] for name in inner}
    assert run_tekton(tekton.lower(graph), {"mode": mode}, outputs) == ran


@pytest.mark.parametrize("found", [[], ["a"], ["a", "b'\"\n", "é"]])
@pytest.mark.parametrize("names", [[], ["n", "m"]])
@pytest.mark.parametrize("mode", ["a", "none"])
def test_a_loop_over_outputs_and_parameters(
    corpus: Path,
    turns: Callable[..., dict[str, Any]],
    found: list[str],
    names: list[str],
    mode: str,
) -> None:
    graph = read_graph(corpus / "loop_over_outputs.yaml")
    outputs = {("list-up", "items"): json.dumps(found)}
    ran = turns(graph, {"names": json.dumps(names), "mode": mode}, outputs)
    said = texts(ran)
    assert [said[f"say-it-{at}"] for at in range(len(found))] == found
    assert sum(name.startswith("say-2") for name in ran) == len(found) * len(names)
    assert sum(name.startswith("say-3") for name in ran) == (mode in found) * len(names)
    assert json.loads(ran["eat"][0][1]) == ["<out written>"] * len(found)
    assert json.loads(ran["eat-2"][0][1]) == [["<out written>"] * len(names)] * len(found)
    assert "tick" in ran


@pytest.mark.parametrize(
    ("failing", "left_out"),
    [
        ("list-up", {"say-it-0", "say-2-it-0-it-0", "eat", "eat-2", "tick"}),
        ("say-it-0", {"say-2-it-0-it-0", "eat", "eat-2", "tick"}),
        ("say-2-it-0-it-0", {"eat", "eat-2", "tick"}),
    ],
)
def test_a_failure_in_a_turn(
    corpus: Path, turns: Callable[..., dict[str, Any]], failing: str, left_out: set[str]
) -> None:
    graph = read_graph(corpus / "loop_over_outputs.yaml")
    outputs = {("list-up", "items"): '["a"]'}
    parameters = {"names": '["n"]', "mode": "none"}
    everything = set(turns(graph, parameters, outputs))
    ran = set(turns(graph, parameters, outputs, [failing]))
    # The inner loop of a turn is no child of the task beside it.
    assert everything - ran <= left_out
    assert {"eat", "eat-2", "tick"} <= everything - ran


def test_a_loop_over_what_an_item_holds(corpus: Path, turns: Callable[..., dict[str, Any]]) -> None:
    graph = read_graph(corpus / "loop_over_item.yaml")
    groups = [{"names": ["a", "b"]}, {"names": []}, {"names": ["c"]}]
    ran = texts(turns(graph, {"groups": json.dumps(groups)}))
    assert ran == {"say-it-0-it-0": "a", "say-it-0-it-1": "b", "say-it-2-it-0": "c"}


@pytest.mark.parametrize("mode", ["x", "y"])
def test_a_choice_taken_into_a_loop(
    corpus: Path, turns: Callable[..., dict[str, Any]], run_tekton: Run, mode: str
) -> None:
    graph = read_graph(corpus / "loop_with_choice.yaml")
    outputs = {("say", "out"): "one", ("say-2", "out"): "two"}
    ran = turns(graph, {"mode": mode}, outputs)
    said = {texts(ran)[f"say-3-it-{at}"] for at in (0, 1)}
    assert said == {"one" if mode == "x" else "two"}
    assert ("tick-it-0" in ran, "tick-it-1" in ran) == (True, False)
    on_tekton = run_tekton(tekton.lower(graph), {"mode": mode}, outputs)
    assert sorted(map(str, on_tekton.values())) == sorted(map(str, ran.values()))


def test_lists_of_texts_are_gathered_to_the_byte(
    corpus: Path, turns: Callable[..., dict[str, Any]]
) -> None:
    graph = read_graph(corpus / "loop_of_texts.yaml")
    odd = 'it\'s "é"\n\\'
    ran = turns(graph, {}, {("say-it-0", "out"): odd})
    assert json.loads(ran["eat"][0][1]) == [odd, "<out written>"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("loop_over_outputs", "'for-loop-1'.*known only in a run"),
        ("loop_over_item", "'for-loop-1'.*known only in a run"),
        ("loop_of_texts", "'eat', argument 'items', target tekton: it gathers texts"),
    ],
)
def test_what_tekton_cannot_do_names_who_can(corpus: Path, name: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        tekton.lower(read_graph(corpus / f"{name}.yaml"))
    assert "argo" in caught.value.fix


@pytest.mark.parametrize(
    "name",
    [*ON_TEKTON, "loop_over_outputs", "loop_over_item", "loop_of_texts"],
)
def test_loops_hold_against_the_schemas(
    check_manifest: Callable[[str], int], corpus: Path, name: str
) -> None:
    graph = read_graph(corpus / f"{name}.yaml")
    check_manifest(argo.lower(graph).to_yaml())
    if name in ON_TEKTON:
        check_manifest(tekton.lower(graph).to_yaml())


def looped(items: str, **fields: Any) -> Graph:
    task = Task("t", "t", "i", command=(("t",),), loops=("l",), **fields)
    return Graph("g", (), (task,), loops=(Loop("l", Constant(items)),))


def test_a_name_that_its_turn_makes_too_long_is_refused() -> None:
    (task,) = looped("[1]").tasks
    long = Graph(
        "g",
        (),
        (Task("t" * 60, "t", "i", loops=("l",)), task),
        loops=(Loop("l", Constant("[1]")),),
    )
    with pytest.raises(InputError, match="with its turn the name is too long"):
        tekton.lower(long)


def test_a_pipeline_without_any_turn_is_refused_on_tekton() -> None:
    with pytest.raises(InputError, match="no task is left"):
        tekton.lower(looped("[]"))


@pytest.mark.parametrize("text", ["", "{}", "5", '"a"', "[1", "null"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(InputError, match="the loop 'l' goes over"):
        read_items(text, loop="l")


def test_parts_of_items_as_texts() -> None:
    item = {"a": "x", "n": 2.0, "f": 0.5, "b": True, "o": {"k": [1, "<"]}, "z": None}
    said = {key: item_text(item, (key,), loop="l") for key in item}
    assert said == {
        "a": "x",
        "n": "2",
        "f": "0.5",
        "b": "true",
        "o": '{"k":[1,"\\u003c"]}',
        "z": "null",
    }
    with pytest.raises(InputError, match="takes 'q' of"):
        item_text(item, ("q",), loop="l")
    with pytest.raises(InputError, match="takes 'q' of"):
        item_text("text", ("q",), loop="l")


def test_lists_of_values_as_text() -> None:
    assert list_text(["a", "b\n"], ParameterType.STRING) == '["a","b\\n"]'
    assert list_text(["1", "2\n"], ParameterType.INTEGER) == "[1,2]"
    assert list_text(["True", "0"], ParameterType.BOOLEAN) == "[true,false]"
    assert list_text(['["a"]', "[]"], ParameterType.LIST) == '[["a"],[]]'
    assert list_text([], ParameterType.STRING) == "[]"


def test_a_loop_over_nothing_leaves_nothing(turns: Callable[..., dict[str, Any]]) -> None:
    graph = looped("[]")
    after = Task("a", "a", "i", command=(("a",),), passed=("t",))
    graph = Graph("g", (), (*graph.tasks, after), loops=graph.loops)
    assert set(turns(graph, {})) == {"a"}
    assert expand_constants(graph).tasks == (Task("a", "a", "i", command=(("a",),)),)


def test_an_outer_list_of_an_inner_loop() -> None:
    inner = Loop("m", LoopItem("l", type=ParameterType.LIST), loops=("l",))
    task = Task("t", "t", "i", loops=("l", "m"), arguments=(("x", LoopItem("m")),))
    graph = Graph("g", (), (task,), loops=(Loop("l", Constant('[["a"],["b","c"]]')), inner))
    found = expand_constants(graph)
    assert [item.name for item in found.tasks] == ["t-it-0-it-0", "t-it-1-it-0", "t-it-1-it-1"]
    assert [dict(item.arguments)["x"] for item in found.tasks] == [
        Constant("a"),
        Constant("b"),
        Constant("c"),
    ]


def test_who_gathers_before_the_loop_is_undone_sees_its_tasks() -> None:
    taker = Task("u", "u", "i", arguments=(("x", Gathered("l", Constant("c"))),), after=("t",))
    graph = Graph("g", (), (*looped("[]").tasks, taker), loops=looped("[]").loops)
    assert expand(graph, {"l": [1, 2]}).tasks[-1].after == ("t-it-0", "t-it-1")
    assert "for each item of l" in to_text(graph)
    assert json.loads(to_json(graph))["loops"] == [{"name": "l", "items": {"constant": "[]"}}]


@pytest.mark.parametrize(("mode", "of"), [("x", "say"), ("y", "say-2")])
def test_f_strings_of_items_and_choices(
    corpus: Path, turns: Callable[..., dict[str, Any]], run_tekton: Run, mode: str, of: str
) -> None:
    graph = read_graph(corpus / "fstrings_of_values.yaml")
    outputs = {("say", "out"): "one", (f"written-2-{of}", "out"): "$HOME 'a'"}
    outputs |= {(f"written-{of}-it-{at}", "out"): f"w{at}" for at in (0, 1)}
    outputs |= {(f"say-2-it-{at}", "out"): f"e{at}" for at in (0, 1)}
    ran = turns(graph, {"mode": mode}, outputs)
    found = texts(ran)
    assert found["say-2-it-1"] == f"v-one-{mode}"
    assert found[f"written-{of}-it-0"] == ("<in u>" if mode == "x" else "2")
    assert [found[f"say-3-it-{at}"] for at in (0, 1)] == ["w0/e0", "w1/e1"]
    assert found["say-4"] == "$HOME 'a'!"
    on_tekton = run_tekton(tekton.lower(graph), {"mode": mode}, outputs)
    assert sorted(texts(on_tekton).values()) == sorted({**found, "say-5": found["say-5"]}.values())


def test_an_f_string_of_what_may_have_failed_is_refused_by_argo() -> None:
    given = (("text", Joined((Constant("a"), TaskOutputRef("one", "o")))),)
    one = Task("one", "one", "i", command=(("x",),), outputs=(Parameter("o"),))
    two = Task("two", "two", "i", command=(("x",),), inputs=(Parameter("text", default=""),))
    graph = Graph("g", (), (one, replace(two, arguments=given, behind=("one",))))
    with pytest.raises(InputError, match="task 'two', argument 'text', target argo: it is made of"):
        argo.lower(graph)
