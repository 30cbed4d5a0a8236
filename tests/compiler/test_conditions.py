"""What a condition means is the same in the IR, the graph, the local engine and the manifests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.compiler import argo, tekton
from coalmine.compiler.compare import holds, read
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.guards import script
from coalmine.compiler.ir import read_graph, read_graph_text
from coalmine.compiler.ir.read import SCHEMA
from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.piece import ExecutorText
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef
from coalmine.engines.local.ended import Ended
from coalmine.engines.local.plan import next_move
from coalmine.engines.protocol import TaskState

Outputs = Mapping[tuple[str, str], str]
Run = Callable[[Any, Mapping[str, str], Outputs], dict[str, Any]]
VALUES = [
    {"count": "5", "ratio": "0.5", "flag": "true", "word": "b"},
    {"count": "-3", "ratio": "2", "flag": "false", "word": "5"},
    {"count": "0", "ratio": "1e22", "flag": "true", "word": ""},
    {"count": "2", "ratio": "2.0", "flag": "false", "word": "é"},
    {"count": "4", "ratio": "NaN", "flag": "true", "word": "a' == 'a"},
]
TYPES = {
    "count": ParameterType.INTEGER,
    "ratio": ParameterType.DOUBLE,
    "flag": ParameterType.BOOLEAN,
    "word": ParameterType.STRING,
}


graph_of = cache(read_graph)
lowered_to_argo = lru_cache(1)(argo.lower)
lowered_to_tekton = lru_cache(1)(tekton.lower)


def run_locally(graph: Graph, parameters: Mapping[str, str], outputs: Outputs) -> set[str]:
    """Take the local engine's decisions to the end; every task that starts succeeds."""
    ended: dict[str, Ended] = {}
    while (move := next_move(graph, parameters, ended)) and (move.ready or move.skipped):
        ended |= {name: Ended(TaskState.SKIPPED) for name in move.skipped}
        for name in move.ready:
            written = {key: text for (task, key), text in outputs.items() if task == name}
            ended[name] = Ended(TaskState.SUCCEEDED, written)
    return {name for name, one in ended.items() if one.state is TaskState.SUCCEEDED}


@pytest.fixture
def wanted(run_graph: Run, run_argo: Run, run_tekton: Run) -> Callable[..., set[str]]:
    """Name what runs by the graph; the local engine, Argo and Tekton must agree."""

    def compare(graph: Graph, parameters: Mapping[str, str], outputs: Outputs) -> set[str]:
        found = run_graph(graph, parameters, outputs)
        assert run_locally(graph, parameters, outputs) == set(found)
        # Argo takes one line break off the end of an output.
        trimmed = {key: text.removesuffix("\n") for key, text in outputs.items()}
        assert set(run_argo(lowered_to_argo(graph), parameters, trimmed)) == set(found)
        assert set(run_tekton(lowered_to_tekton(graph), parameters, outputs)) == set(found)
        return set(found)

    return compare


@cache
def ir_of(path: Path) -> Any:
    return next(iter(yaml.load_all(path.read_text(), yaml.CSafeLoader)))


def guarded_in_ir(
    ir: Mapping[str, Any],
    parameters: Mapping[str, str],
    outputs: Outputs,
    holds_in_ir: Callable[[str, Mapping[str, Any]], bool],
) -> set[str]:
    """Name the tasks whose condition is true by the IR's own word."""
    found = set()
    for group in ir["root"]["dag"]["tasks"].values():
        condition = group.get("triggerPolicy", {}).get("condition")
        if condition is None:
            continue
        values = {}
        for name, source in group["inputs"]["parameters"].items():
            if "componentInputParameter" in source:
                key = source["componentInputParameter"]
                values[name] = read(parameters[key], TYPES[key])
            else:
                selector = source["taskOutputParameter"]
                key = selector["outputParameterKey"]
                values[name] = read(outputs[selector["producerTask"], key], TYPES[key])
        if holds_in_ir(condition, values):
            found |= set(ir["components"][group["componentRef"]["name"]]["dag"]["tasks"])
    return found


@pytest.mark.parametrize("parameters", VALUES)
@pytest.mark.parametrize("written", VALUES)
def test_every_operator_on_every_type(
    corpus: Path,
    wanted: Callable[..., set[str]],
    condition_of_ir: Callable[[str, Mapping[str, Any]], bool],
    parameters: Mapping[str, str],
    written: Mapping[str, str],
) -> None:
    path = corpus / "operators.yaml"
    graph = graph_of(path)
    outputs = {("measure", name): text for name, text in written.items()}
    ran = wanted(graph, parameters, outputs)
    in_ir = guarded_in_ir(ir_of(path), parameters, outputs, condition_of_ir)
    assert in_ir == ran - {"measure"}
    assert 20 < len(in_ir) < 64


@pytest.mark.parametrize(
    ("given_values", "written", "runs"),
    [
        (("5", "true"), ("7", "true"), "say"),
        (("4", "true"), ("8", "true"), "say-2"),
        (("4", "true"), ("7\n", "true"), "say-3"),
        (("4", "True"), ("7", "true"), "say-3"),
        (("4", "false"), ("7", "False\n"), "say-4"),
        (("4", "false"), ("7", "True\n"), "say-5"),
    ],
)
def test_equality_of_numbers_and_booleans_everywhere(
    corpus: Path,
    wanted: Callable[..., set[str]],
    given_values: tuple[str, str],
    written: tuple[str, str],
    runs: str,
) -> None:
    graph = read_graph(corpus / "equalities.yaml")
    parameters = {"count": given_values[0], "flag": given_values[1]}
    outputs = {("measure", "count"): written[0], ("measure", "flag"): written[1]}
    assert wanted(graph, parameters, outputs) == {"measure", runs}


@pytest.mark.parametrize(
    ("ratio", "count", "runs"),
    [("0.4", "9", "say"), ("0.5", "4", "say-2"), ("0.5", "3", "say-3"), ("NaN", "3", "say-3")],
)
def test_what_is_not_less_goes_to_the_other_branch(
    corpus: Path, wanted: Callable[..., set[str]], ratio: str, count: str, runs: str
) -> None:
    graph = read_graph(corpus / "otherwise.yaml")
    assert wanted(graph, {"ratio": ratio, "count": count}, {}) == {runs}


def guarded(item: Comparison) -> Graph:
    names = [side.name for side in (item.left, item.right) if isinstance(side, ParameterRef)]
    parameters = tuple(Parameter(name, item.type) for name in names)
    return Graph("g", parameters, (Task("t", "c", "i", when=(item,)),))


TEXTS = {
    ParameterType.STRING: st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="'\"\\{}"), max_size=4
    ),
    ParameterType.INTEGER: st.integers(-9, 9).map(str),
    ParameterType.DOUBLE: st.floats(-2, 2).map(repr) | st.sampled_from(["NaN", "-1", "inf"]),
    ParameterType.BOOLEAN: st.sampled_from(["true", "false"]),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(list(TEXTS)), operator=st.sampled_from(Operator))
def test_a_comparison_of_two_parameters(
    wanted: Callable[..., set[str]],
    data: st.DataObject,
    kind: ParameterType,
    operator: Operator,
) -> None:
    values = {"a": data.draw(TEXTS[kind]), "b": data.draw(TEXTS[kind])}
    a, b = ParameterRef("a"), ParameterRef("b")
    negated = kind is ParameterType.DOUBLE and operator.orders and data.draw(st.booleans())
    ran = wanted(guarded(Comparison(a, operator, b, kind, negated)), values, {})
    assert wanted(guarded(Comparison(b, operator.mirrored, a, kind, negated)), values, {}) == ran
    if "NaN" not in values.values():
        opposite = guarded(Comparison(a, operator.opposite, b, kind, negated))
        assert wanted(opposite, values, {}) == {"t"} - ran


def test_tekton_compares_numbers_by_tasks_of_their_own(corpus: Path) -> None:
    manifest = tekton.lower(read_graph(corpus / "otherwise.yaml"))
    tasks = {task["name"]: task for task in manifest.document["spec"]["tasks"]}
    first, second = "check-ratio-below-0-5", "check-count-at-least-4"
    assert list(tasks) == [first, "say", second, "say-2", "say-3"]
    assert tasks[second]["when"] == [
        {"input": f"$(tasks.{first}.results.holds)", "operator": "in", "values": ["false"]}
    ]
    (step,) = tasks[first]["taskSpec"]["steps"]
    assert step["image"] == "python:3.11-slim"
    assert step["args"] == [
        "$(params.left)",
        "<",
        "$(params.right)",
        "NUMBER_DOUBLE",
        "$(results.holds.path)",
    ]
    (note,) = (note for note in manifest.notes if "cannot compare" in note)
    assert second in note
    assert "python:3.11-slim" in note


def test_the_image_of_what_compares() -> None:
    item = Comparison(ParameterRef("p"), Operator.LESS, Constant("5"), ParameterType.INTEGER)
    graph = guarded(item)
    function = Task("f", "c", "function:1", args=((ExecutorText.INPUT,),))

    def image(graph: Graph, **asked: str) -> str:
        (check, *_) = tekton.lower(graph, **asked).document["spec"]["tasks"]
        return str(check["taskSpec"]["steps"][0]["image"])

    assert image(graph) == "python:3.11-slim"
    assert image(graph, guard_image="mirror/python:3") == "mirror/python:3"
    assert image(replace(graph, tasks=(*graph.tasks, function))) == "function:1"


def test_what_compares_has_a_name_of_its_own() -> None:
    item = Comparison(ParameterRef("p"), Operator.LESS, Constant("-5"), ParameterType.INTEGER)
    long = Comparison(ParameterRef("p" * 80), Operator.LESS, Constant("5"), ParameterType.INTEGER)
    tasks = (Task("check-p-below-minus-5", "c", "i", when=(item, long)),)
    graph = Graph("g", (Parameter("p"), Parameter("p" * 80)), tasks)
    names = [task["name"] for task in tekton.lower(graph).document["spec"]["tasks"]]
    assert names == ["check-p-below-minus-5-2", "check-" + "p" * 49, "check-p-below-minus-5"]


def test_the_same_condition_is_answered_once_unless_it_stands_within_another() -> None:
    item = Comparison(ParameterRef("p"), Operator.LESS, Constant("5"), ParameterType.INTEGER)
    outer = Comparison(ParameterRef("q"), Operator.EQUAL, Constant("x"))
    tasks = (
        Task("a", "c", "i", when=(item,)),
        Task("b", "c", "i", when=(item,)),
        Task("c", "c", "i", when=(outer, item)),
    )
    manifest = tekton.lower(Graph("g", (Parameter("p"), Parameter("q")), tasks))
    names = [task["name"] for task in manifest.document["spec"]["tasks"]]
    assert names == ["check-p-below-5", "a", "b", "check-p-below-5-2", "c"]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["5\n", "<", "5.5", "NUMBER_DOUBLE"], "true"),
        (["NaN", "<", "0.5", "NUMBER_DOUBLE"], "false"),
        (["-5", ">=", "-4", "NUMBER_INTEGER"], "false"),
        (["T", "==", "1", "BOOLEAN"], "true"),
        (["a' b", "<", "a' é", "STRING"], "true"),
        (["five", "<", "5", "NUMBER_INTEGER"], None),
    ],
)
def test_the_script_in_the_manifest(
    tmp_path: Path, arguments: list[str], answer: str | None
) -> None:
    file = tmp_path / "holds"
    command = [sys.executable, "-I", "-c", script(), *arguments, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is (answer is not None)
    if answer is None:
        assert done.stderr == "the condition cannot be judged: 'five' is no NUMBER_INTEGER\n"
        assert not file.exists()
    else:
        assert file.read_text() == answer


def test_a_number_that_is_none_ends_the_run_on_tekton(corpus: Path, run_tekton: Run) -> None:
    manifest = tekton.lower(read_graph(corpus / "otherwise.yaml"))
    assert run_tekton(manifest, {"ratio": "much", "count": "5"}, {}) == {}


def test_tekton_says_how_it_compares_whole_numbers(corpus: Path) -> None:
    notes = tekton.lower(read_graph(corpus / "equalities.yaml")).notes
    assert any("not to 05" in note for note in notes)


@pytest.mark.parametrize("name", ["operators", "equalities", "otherwise"])
def test_conditions_hold_against_the_schemas(
    check_manifest: Callable[[str], int], corpus: Path, name: str
) -> None:
    graph = read_graph(corpus / f"{name}.yaml")
    check_manifest(argo.lower(graph).to_yaml())
    check_manifest(tekton.lower(graph).to_yaml())


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (" +5\n", ParameterType.INTEGER, 5),
        ("1E3", ParameterType.DOUBLE, 1000.0),
        (".5", ParameterType.DOUBLE, 0.5),
        ("-Infinity", ParameterType.DOUBLE, float("-inf")),
        ("T", ParameterType.BOOLEAN, True),
        ("0", ParameterType.BOOLEAN, False),
        (" x\n", ParameterType.STRING, " x\n"),
    ],
)
def test_texts_are_read_as_the_kfp_launcher_does(
    text: str, kind: ParameterType, value: object
) -> None:
    assert read(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("5.0", ParameterType.INTEGER),
        ("1_0", ParameterType.INTEGER),
        ("٣", ParameterType.INTEGER),
        ("", ParameterType.INTEGER),
        ("1_0.5", ParameterType.DOUBLE),
        (".", ParameterType.DOUBLE),
        ("yes", ParameterType.BOOLEAN),
        ("tRUE", ParameterType.BOOLEAN),
    ],
)
def test_other_texts_are_no_values(text: str, kind: ParameterType) -> None:
    with pytest.raises(InputError, match=f"is no {kind.value}"):
        read(text, kind)
    item = Comparison(TaskOutputRef("a", "o"), Operator.EQUAL, Constant("1"), kind)
    with pytest.raises(InputError):
        holds(item, lambda value: text)


def ir_with(condition: str, kind: str) -> str:
    group = {
        "componentRef": {"name": "comp-group"},
        "triggerPolicy": {"condition": condition},
        "inputs": {"parameters": {"p": {"componentInputParameter": "p"}}},
    }
    tick = {"componentRef": {"name": "comp-tick"}}
    definitions = {"parameters": {"p": {"parameterType": kind}}}
    return yaml.safe_dump(
        {
            "schemaVersion": SCHEMA,
            "pipelineInfo": {"name": "p"},
            "root": {"dag": {"tasks": {"group": group}}, "inputDefinitions": definitions},
            "components": {
                "comp-group": {"dag": {"tasks": {"tick": tick}}, "inputDefinitions": definitions},
                "comp-tick": {"executorLabel": "e"},
            },
            "deploymentSpec": {"executors": {"e": {"container": {"image": "i"}}}},
        }
    )


@pytest.mark.parametrize(
    ("condition", "kind", "why"),
    [
        ("I == 5", "STRING", "compares NUMBER_INTEGER with STRING"),
        ("I < 'a'", "BOOLEAN", "compares BOOLEAN with STRING"),
        ("int(I) < 5", "STRING", "takes STRING as NUMBER_INTEGER"),
        ("int(I) < 5", "NUMBER_DOUBLE", "takes NUMBER_DOUBLE as NUMBER_INTEGER"),
        ("inputs.parameter_values['q'] < 5", "NUMBER_DOUBLE", "'q', which has no value"),
    ],
)
def test_types_that_do_not_go_together(condition: str, kind: str, why: str) -> None:
    text = condition.replace("I", "inputs.parameter_values['p']")
    with pytest.raises(InputError, match=why):
        read_graph_text(ir_with(text, kind))
    good = "double(int(I)) <= 5.5".replace("I", "inputs.parameter_values['p']")
    (task,) = read_graph_text(ir_with(good, "NUMBER_INTEGER")).tasks
    assert task.when == (
        Comparison(
            ParameterRef("p"), Operator.LESS_OR_EQUAL, Constant("5.5"), ParameterType.DOUBLE
        ),
    )
