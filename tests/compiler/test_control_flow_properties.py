"""Any nesting of branches, loops, groups and waits runs the same on every engine.

Pipelines are made up as IR, so that they are read as those of the SDK are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from coalmine.compiler import argo, tekton
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph_text
from coalmine.compiler.ir.read import SCHEMA
from coalmine.engines.local.ended import Ended
from coalmine.engines.local.plan import next_move, unrolled
from coalmine.engines.protocol import TaskState

Run = Callable[..., dict[str, Any]]
Entries = dict[str, dict[str, Any]]
TEXT = {"parameterType": "STRING"}
KINDS = ["task", "task", "task", "condition", "for-loop", "exit-handler"]
COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"


class Maker:
    """Draws one pipeline; every group hands on the parameter, and an item where it is a loop."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.components: Entries = {"comp-say": say()}
        self.left = draw(st.integers(2, 9))
        self.count = 0

    def pipeline(self) -> str:
        tasks = self.group(["p"], depth=0)
        ir = {
            "schemaVersion": SCHEMA,
            "pipelineInfo": {"name": "made-up"},
            "root": {
                "dag": {"tasks": tasks},
                "inputDefinitions": {"parameters": {"p": TEXT}},
            },
            "components": self.components,
            "deploymentSpec": {"executors": {"e": {"container": executor()}}},
        }
        return json.dumps(ir)

    def group(self, inputs: list[str], depth: int) -> Entries:
        entries: Entries = {}
        while self.left and (not entries or self.draw(st.booleans())):
            kind = self.draw(st.sampled_from(KINDS if depth < 3 else ["task"]))
            self.left -= 1
            self.count += 1
            before = self.before(entries)
            if kind == "task":
                entries[f"say-{self.count}"] = self.task(inputs, entries, before)
            else:
                self.add_group(kind, inputs, entries, before, depth)
        return entries or {f"say-{self.count}-only": self.task(inputs, {}, [])}

    def before(self, entries: Entries) -> list[str]:
        """Choose siblings to wait for; nothing may wait for what runs after a failure."""
        names = [
            name
            for name, entry in entries.items()
            if entry.get("triggerPolicy", {}).get("strategy") != COMPLETED
        ]
        return self.draw(st.lists(st.sampled_from(names), unique=True, max_size=2)) if names else []

    def task(self, inputs: list[str], entries: Entries, before: list[str]) -> dict[str, Any]:
        source = self.source(inputs, entries)
        if producer := source.get("taskOutputParameter", {}).get("producerTask"):
            before = sorted({*before, producer})
        return entry("comp-say", before, {"text": source})

    def source(self, inputs: list[str], entries: Entries) -> dict[str, Any]:
        """Choose where a value comes from: an input of the group, or a task beside."""
        makers = [
            name for name, one in entries.items() if one["componentRef"]["name"] == "comp-say"
        ]
        makers = [name for name in makers if "triggerPolicy" not in entries[name]]
        name = self.draw(st.sampled_from([*inputs, *makers]))
        if name in inputs:
            return {"componentInputParameter": name}
        return {"taskOutputParameter": {"outputParameterKey": "out", "producerTask": name}}

    def add_group(
        self, kind: str, inputs: list[str], entries: Entries, before: list[str], depth: int
    ) -> None:
        name, component = f"{kind}-{self.count}", f"comp-{kind}-{self.count}"
        passed = {key: {"componentInputParameter": key} for key in inputs}
        more: dict[str, Any] = {}
        inside = list(inputs)
        if kind == "condition":
            passed["c"] = self.source(inputs, entries)
            if producer := passed["c"].get("taskOutputParameter"):
                before = sorted({*before, producer["producerTask"]})  # type: ignore[index]
            operator = self.draw(st.sampled_from(["==", "!="]))
            condition = f"inputs.parameter_values['c'] {operator} 'x'"
            more["triggerPolicy"] = {"condition": condition}
        if kind == "for-loop":
            item = f"item-{self.count}"
            items = self.draw(st.lists(st.sampled_from(["x", "y z"]), max_size=2))
            more["parameterIterator"] = {"itemInput": item, "items": {"raw": json.dumps(items)}}
            limit = self.draw(st.integers(0, 2))
            more["iteratorPolicy"] = {"parallelismLimit": limit}
            inside.append(item)
        tasks = self.group(inside, depth + 1)
        known = dict.fromkeys([*inside, *(["c"] if "c" in passed else [])], TEXT)
        self.components[component] = {
            "dag": {"tasks": tasks},
            "inputDefinitions": {"parameters": known},
        }
        entries[name] = {**entry(component, before, passed), **more}
        if kind == "exit-handler" and depth == 0:
            policy = {"triggerPolicy": {"strategy": COMPLETED}}
            end = entry("comp-say", [name], {"text": {"runtimeValue": {"constant": "end"}}})
            entries[f"say-{self.count}-end"] = {**end, **policy}


def entry(component: str, before: list[str], inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "componentRef": {"name": component},
        "dependentTasks": before,
        "inputs": {"parameters": inputs},
    }


def say() -> dict[str, Any]:
    return {
        "executorLabel": "e",
        "inputDefinitions": {"parameters": {"text": TEXT}},
        "outputDefinitions": {"parameters": {"out": TEXT}},
    }


def executor() -> dict[str, Any]:
    text, out = "{{$.inputs.parameters['text']}}", "{{$.outputs.parameters['out'].output_file}}"
    return {"image": "i", "command": ["say", text, out]}


@st.composite
def pipelines(draw: st.DrawFn) -> str:
    return Maker(draw).pipeline()


def run_locally(graph: Graph, p: str, outputs: Any, failing: set[str]) -> set[str]:
    """Take the local engine's decisions to the end; gives the names of what ran."""
    ended: dict[str, Ended] = {}
    ran: set[str] = set()
    graph = unrolled(graph, {"p": p}, ended)
    while (move := next_move(graph, {"p": p}, ended)) and (move.ready or move.skipped):
        ended |= {name: Ended(TaskState.SKIPPED) for name in move.skipped}
        for name in move.ready[:1]:
            ran.add(name)
            written = {"out": outputs.get((name, "out"), "<out written>")}
            ended[name] = Ended(TaskState.SUCCEEDED, written)
            if name in failing:
                ended[name] = Ended(TaskState.FAILED)
        graph = unrolled(graph, {"p": p}, ended)
    assert all(task.name in ended for task in graph.tasks)
    return ran | ({graph.exit_task.name} if graph.exit_task else set())


def names_of(graph: Graph) -> list[str]:
    return [task.name for task in unrolled(graph, {"p": ""}, {}).tasks]


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(text=pipelines(), p=st.sampled_from(["x", "o"]), data=st.data())
def test_any_nesting_runs_the_same_everywhere(  # noqa: PLR0917 - fixtures and values
    run_graph: Run, run_argo: Run, run_tekton: Run, text: str, p: str, data: st.DataObject
) -> None:
    graph = read_graph_text(text)
    names = names_of(graph)
    assume(names)
    yes = data.draw(st.sets(st.sampled_from(names)))
    outputs = {(name, "out"): "x" for name in yes}
    wanted = run_graph(graph, {"p": p}, outputs)
    assert run_locally(graph, p, outputs, set()) == set(wanted)
    assert run_argo(argo.lower(graph), {"p": p}, outputs) == wanted
    assert run_tekton(tekton.lower(graph), {"p": p}, outputs) == wanted
    failing = {data.draw(st.sampled_from(names))}
    after = run_graph(graph, {"p": p}, outputs, failing)
    assert run_locally(graph, p, outputs, failing) == set(after)
    assert run_argo(argo.lower(graph), {"p": p}, outputs, failing) == after
    on_tekton = run_tekton(tekton.lower(graph), {"p": p}, outputs, failing)
    assert set(on_tekton) <= set(after)
