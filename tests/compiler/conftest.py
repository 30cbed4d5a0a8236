"""A corpus compiled by the real SDK, and evaluators that read manifests as their engines do."""

from __future__ import annotations

import json
import operator
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, Protocol
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, settings

from coalmine.compiler.condition import Comparison
from coalmine.compiler.graph import Graph
from coalmine.compiler.guards import script
from coalmine.compiler.items import list_text
from coalmine.compiler.loops import expand
from coalmine.compiler.manifest import Manifest
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.piece import ArtifactPath, InputRef, OutputPath, Part
from coalmine.compiler.task import Task
from coalmine.compiler.value import (
    Constant,
    FinalStatus,
    Gathered,
    Imported,
    Joined,
    Listed,
    LoopItem,
    OneOf,
    ParameterRef,
    RunFact,
    TaskOutputRef,
    Value,
    references,
)

# Time says nothing here: the machine may be busy with other tests.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent.parent
Command = tuple[list[str], dict[str, str]]
"""An argument list and an environment."""
Commands = dict[str, Command]
"""What runs: the command of each task that was not skipped."""
Outputs = Mapping[tuple[str, str], str]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one compiled pipeline a file."""
    folder = tmp_path_factory.mktemp("corpus")
    source = Path(__file__).parent / "corpus.py"
    subprocess.run([sys.executable, source, folder], check=True, timeout=120, cwd=ROOT)
    return folder


READ: dict[ParameterType, Callable[[str], Any]] = {
    ParameterType.STRING: str,
    ParameterType.INTEGER: int,
    ParameterType.DOUBLE: float,
    ParameterType.BOOLEAN: lambda text: {"true": True, "false": False}[text.strip().lower()],
}
OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Written(dict[str, str]):
    """The outputs of one task; those that nobody told of are written too."""

    def __init__(self, outputs: Outputs, task: str) -> None:
        super().__init__({name: text for (of, name), text in outputs.items() if of == task})

    def __missing__(self, name: str) -> str:
        return f"<{name} written>"

    def __contains__(self, name: object) -> bool:
        return True


WORDS = {"&&": " and ", "||": " or ", "!": " not ", "true": "True", "false": "False"}


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Evaluate the part of CEL and of Argo's expressions that differs from Python in words only."""
    texts: list[str] = []

    def kept(match: re.Match[str]) -> str:
        texts.append(match[0])
        return f"<{len(texts) - 1}>"

    python = chosen(re.sub(r"'[^']*'", kept, expression.strip()))
    python = re.sub(r"&&|\|\||!(?!=)|\btrue\b|\bfalse\b", lambda match: WORDS[match[0]], python)
    python = re.sub(r"\{([^{}]*)\}", r"lambda it: \1", python).replace("#", "it")
    python = re.sub(r"<(\d+)>", lambda match: texts[int(match[1])], python)
    return eval(python.strip(), {"__builtins__": {}, **names})


def chosen(text: str) -> str:
    """Write ``condition ? one : other`` as Python does, also where it stands in brackets."""
    parts: list[str] = []
    depth, start = 0, 0
    for at, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "(" and depth == 1:
            parts.append(text[start : at + 1])
            start = at + 1
        if character == ")" and depth == 0:
            parts.append(chosen(text[start:at]))
            start = at
    parts.append(text[start:])
    # What stood in brackets is done; only what stands outside of them is looked at.
    marked = "\0".join(parts[::2])
    inner = iter(parts[1::2])
    condition, asks, rest = marked.partition(" ? ")
    one, _, other = rest.partition(" : ")
    whole = (filled(part, inner) for part in (condition, one, other))
    if not asks:
        return next(whole)
    asked, yes, no = whole
    return f"(({yes}) if ({asked}) else ({chosen(no)}))"


def filled(text: str, inner: Iterator[str]) -> str:
    return re.sub("\0", lambda _: next(inner), text)


def output_of(outputs: Outputs, task: str, name: str) -> str:
    return outputs.get((task, name), f"<{name} written>")


@dataclass(frozen=True)
class GraphRun:
    """What the graph itself says: the yardstick."""

    graph: Graph
    parameters: Mapping[str, str]
    outputs: Outputs
    failing: frozenset[str] = frozenset()
    states: dict[str, str] = field(default_factory=dict)

    def commands(self) -> Commands:
        ran: Commands = {}
        graph = self.unrolled(self.graph)
        while task := self.next_of(graph):
            self.states[task.name] = "Skipped"
            if not task.loops and self.runs(task):
                ran[task.name] = self.command(task)
                self.states[task.name] = "Failed" if task.name in self.failing else "Succeeded"
            graph = self.unrolled(graph)
        if self.graph.exit_task:
            ran[self.graph.exit_task.name] = self.command(self.graph.exit_task)
        return ran

    def next_of(self, graph: Graph) -> Task | None:
        """Find a task that can be judged; a loop that is left has no list and never will."""
        left = [task for task in graph.tasks if task.name not in self.states]
        due = [task for task in left if not task.loops and task.follows() <= self.states.keys()]
        return next(iter([*due, *left]), None)

    def unrolled(self, graph: Graph) -> Graph:
        for loop in graph.loops:
            known = all(self.states.get(ref.task) == "Succeeded" for ref in references(loop.items))
            if known and not loop.loops:
                items = json.loads(self.value(loop.items))
                return self.unrolled(expand(graph, {loop.name: items}))
        return graph

    def runs(self, task: Task) -> bool:
        choices = [value.choices for value in task.values() if isinstance(value, OneOf)]
        return (
            all(self.succeeded(name) for name in task.depends_on())
            and all(self.states[name] != "Failed" for name in task.passed)
            and all(any(self.succeeded(one.task) for one in each) for each in choices)
            and all(self.holds(item) for item in task.when)
        )

    def succeeded(self, name: str) -> bool:
        return self.states[name] == "Succeeded"

    def value(self, of: Value) -> str:  # noqa: C901, PLR0911 - one for each kind
        match of:
            case Constant(text):
                return text
            case ParameterRef(name):
                defaults = {item.name: item.default or "" for item in self.graph.parameters}
                optional = {item.name for item in self.graph.parameters if item.optional}
                if name in optional - set(self.parameters):
                    return of.otherwise or ""
                return (defaults | dict(self.parameters))[name]
            case OneOf(choices):
                return self.value(next(one for one in choices if self.succeeded(one.task)))
            case Listed(values, kind):
                return list_text([self.value(one) for one in values], kind)
            case LoopItem() | Gathered():
                raise AssertionError("its loop is not undone")
            case TaskOutputRef(task, output):
                return output_of(self.outputs, task, output)
            case Joined(parts):
                return "".join(self.value(part) for part in parts)
            case RunFact():
                return f"<{of}>"
            case Imported():
                return self.value(of.uri)
            case FinalStatus(name):
                return f"<status of {name}>"

    def artifact(self, of: Value) -> str:
        if isinstance(of, Imported):
            return self.value(of)
        (found,) = [one for one in references(of) if self.succeeded(one.task)]
        return f"<{found.output} of {found.task}>"

    def holds(self, item: Comparison) -> bool:
        left, right = (READ[item.type](self.value(side)) for side in (item.left, item.right))
        return OPERATIONS[item.operator.value](left, right) is not item.negated

    def command(self, task: Task) -> Command:
        given = {item.name: item.default or "" for item in task.inputs}
        for name, of in task.arguments:
            ends = [found.task for found in references(of) if found.task in task.behind]
            if all(self.succeeded(end) for end in ends):
                given[name] = self.value(of)

        def text(part: Part) -> str:
            match part:
                case RunFact():
                    return f"<{part}>"
                case InputRef(name):
                    return given[name]
                case OutputPath(name):
                    return f"<path {name}>"
                case ArtifactPath(name, made):
                    return f"<made {name}>" if made else self.artifact(dict(task.arguments)[name])
                case _:
                    return str(part)

        pieces = (*task.command, *task.args)
        return ["".join(text(part) for part in piece) for piece in pieces], dict(task.env)


def kubelet(text: str, env: Mapping[str, str]) -> str:
    """Expand a text as the kubelet does: ``$(NAME)`` and ``$$``."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else env.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


def container(spec: Mapping[str, Any], fill: Callable[[str], str]) -> Command:
    env: dict[str, str] = {}
    for item in spec.get("env", []):
        env[item["name"]] = kubelet(fill(item["value"]), env)
    texts = [*spec.get("command", []), *spec.get("args", [])]
    return [kubelet(fill(text), env) for text in texts], env


TEKTON_FACTS = {
    "context.pipelineRun.name": "<pipeline_job_name>",
    "context.pipelineRun.uid": "<pipeline_job_uuid>",
    "context.taskRun.name": "<pipeline_task_uuid>",
}
ARGO_FACTS = {
    "workflow.name": "<pipeline_job_name>",
    "workflow.uid": "<pipeline_job_uuid>",
    "pod.name": "<pipeline_task_uuid>",
}


@cache
def code_of(text: str) -> CodeType:
    return compile(text, "script", "exec")


@dataclass(frozen=True)
class TektonRun:
    """What Tekton would run: it expands twice, and a ``runAfter`` lives through a skip."""

    spec: Mapping[str, Any]
    parameters: Mapping[str, str]
    outputs: Outputs

    failing: frozenset[str] = frozenset()
    states: dict[str, str] = field(default_factory=dict)
    answers: dict[tuple[str, str], str] = field(default_factory=dict)

    def commands(self) -> Commands:
        """What runs; the tasks that only compare do, but are not told of."""
        ran: Commands = {}
        for task in self.spec["tasks"]:
            self.states[task["name"]] = "None"
            if "Failed" not in self.states.values() and self.runs(task):
                command = self.command(task)
                failed = task["name"] in self.failing
                if command[0][:3] == ["python3", "-c", script()]:
                    failed = not self.judge(task["name"], command[0])
                else:
                    ran[task["name"]] = command
                self.states[task["name"]] = "Failed" if failed else "Succeeded"
        for task in self.spec.get("finally", []):
            if self.runs(task):
                ran[task["name"]] = self.command(task)
        return ran

    def judge(self, name: str, command: list[str]) -> bool:
        """Run the script that stands in the manifest; tell whether it has answered."""
        with tempfile.NamedTemporaryFile("r") as file:
            with mock.patch.object(sys, "argv", ["-c", *command[3:-1], file.name]):
                try:
                    exec(code_of(command[2]), {"__name__": "__main__"})
                except SystemExit:
                    return False
            assert command[-1] == "<path holds>"
            self.answers[name, "holds"] = file.read()
        return True

    def fill(self, text: str) -> str:
        values = {item["name"]: item.get("default", "") for item in self.spec.get("params", [])}
        for name, value in (values | dict(self.parameters)).items():
            text = text.replace(f"$(params.{name})", value)
        text = re.sub(
            r"\$\(tasks\.([a-z0-9-]+)\.status\)", lambda match: self.states[match[1]], text
        )
        for name, fact in TEKTON_FACTS.items():
            text = text.replace(f"$({name})", fact)
        return re.sub(
            r"\$\(tasks\.([a-z0-9-]+)\.results\.([\w-]+)\)",
            lambda match: output_of({**self.outputs, **self.answers}, match[1], match[2]),
            text,
        )

    def runs(self, task: Mapping[str, Any]) -> bool:
        """A task waits for what it names; that must be written before it in the file."""
        assert set(task.get("runAfter", [])) <= self.states.keys()
        text = str(task.get("params", "")) + str(task.get("when", ""))
        used = set(re.findall(r"\$\(tasks\.([a-z0-9-]+)\.results", text))
        written = all(self.states[name] == "Succeeded" for name in used)
        return written and all(self.holds(item) for item in task.get("when", []))

    def holds(self, item: Mapping[str, Any]) -> bool:
        found = self.fill(item["input"]) in [self.fill(one) for one in item["values"]]
        return found is (item["operator"] == "in")

    def command(self, task: Mapping[str, Any]) -> Command:
        given = {item["name"]: self.fill(item["value"]) for item in task.get("params", [])}
        assert {item["name"] for item in task["taskSpec"].get("params", [])} == set(given)

        def fill(text: str) -> str:
            for name, value in [*given.items(), *given.items()]:
                text = text.replace(f"$(params.{name})", value)
            # Names that Tekton Chains wants in capitals are as good as KFP's small ones.
            text = re.sub(r"results\.IMAGE_\w+", lambda found: found[0].lower(), text)
            return re.sub(r"\$\(results\.([\w-]+)\.path\)", r"<path \1>", text)

        return container(task["taskSpec"]["steps"][0], fill)


@dataclass
class Frame:
    """One run of a DAG template."""

    inputs: Mapping[str, str]
    turn: str = ""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    written: dict[str, Mapping[str, str]] = field(default_factory=dict)


def jsonpath(text: str, path: str) -> Any:
    found = json.loads(text)
    for key in path.split(".")[1:]:
        found = found[key]
    return found


def go_json(value: Any) -> str:
    """Write JSON as Go does: every number a double, without a point where it is whole."""
    whole = isinstance(value, list) and all(isinstance(one, float) for one in value)
    if whole:
        value = [int(one) if one.is_integer() else one for one in value]
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)


def go_text(value: Any) -> str:
    assert not isinstance(value, list | dict), "Go would write it in its own way"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class ArgoRun:
    """What Argo would run: tags are filled twice, ``when`` is an expression.

    A turn of a loop is named as the local engine names it.
    """

    spec: Mapping[str, Any]
    parameters: Mapping[str, str]
    outputs: Outputs
    failing: frozenset[str] = frozenset()
    ran: Commands = field(default_factory=dict)

    def commands(self) -> Commands:
        entry = self.template(self.spec["entrypoint"])
        outside = Frame({})
        given = {
            item["name"]: self.fill(item["value"], outside)
            for item in parameters_of(entry, "inputs")
        }
        state, _ = self.dag(entry, Frame(given))
        assert (state == "Failed") is bool(self.failing & self.ran.keys())
        if "onExit" in self.spec:
            template = self.template(self.spec["onExit"])
            filled = self.arguments(parameters_of(template, "inputs"), outside)
            self.ran[template["name"]] = self.command(template, Frame(filled))
        return self.ran

    def template(self, name: str) -> Mapping[str, Any]:
        (found,) = [item for item in self.spec["templates"] if item["name"] == name]
        return dict(found)

    def values(self) -> dict[str, str]:
        given = {
            item["name"]: item.get("value", "") for item in parameters_of(self.spec, "arguments")
        }
        return given | dict(self.parameters)

    def dag(self, template: Mapping[str, Any], frame: Frame) -> tuple[str, dict[str, str]]:
        """Run a DAG to its end; it ends as its targets do, and what was left out as its parents."""
        tasks = template["dag"]["tasks"]
        assert template["dag"]["failFast"] is False
        ends: dict[str, str] = {}
        waited_for: set[str] = set()
        for task in tasks:
            name = task["name"]
            parents = set(re.findall(r"([a-z0-9-]+)\.[A-Z]", task.get("depends", "")))
            waited_for |= parents
            self.node(task, frame)
            inherited = "Failed" if "Failed" in {ends[one] for one in parents} else "Succeeded"
            state = frame.states[name]
            ends[name] = state if state in {"Succeeded", "Failed"} else inherited
        leaves = [name for name in ends if name not in waited_for]
        targets = template["dag"].get("target", " ".join(leaves)).split()
        state = "Failed" if "Failed" in {ends[name] for name in targets} else "Succeeded"
        whole = template["name"] == self.spec["entrypoint"]
        found = [] if whole or state == "Failed" else parameters_of(template, "outputs")
        return state, {item["name"]: self.taken(item["valueFrom"], frame) for item in found}

    def taken(self, source: Mapping[str, str], frame: Frame) -> str:
        if "expression" in source:
            return go_text(self.evaluated(source["expression"], frame))
        _, task, *_, name = source["parameter"].strip("{}").split(".")
        if name not in frame.written[task] and "default" in source:
            return source["default"]
        return self.fill(source["parameter"], frame)

    def node(self, task: Mapping[str, Any], frame: Frame) -> None:
        name = task["name"]
        frame.written[name] = {}
        frame.states[name] = self.held_back(task, frame)
        if frame.states[name]:
            return
        template = self.template(task["template"])
        given = parameters_of(task, "arguments")
        files = {one["name"]: self.artifact(one, frame) for one in artifacts_of(task, "arguments")}
        if "withItems" not in task and "withParam" not in task:
            inner = Frame(self.arguments(given, frame), frame.turn, files)
            frame.states[name], frame.written[name] = self.call(template, inner)
            return
        items = task.get("withItems") or json.loads(self.fill(task["withParam"], frame))
        found = []
        for at, item in enumerate(items):
            text = item if isinstance(item, str) else go_json(item)
            filled = self.arguments(given, frame, item=text)
            found.append(self.call(template, Frame(filled, f"{frame.turn}-it-{at}", files)))
        states = {state for state, _ in found}
        frame.states[name] = "Skipped" if not found else min(states)
        names = {key for _, written in found for key in written}
        frame.written[name] = {
            key: aggregated([written[key] for _, written in found if key in written])
            for key in names
        }

    def call(self, template: Mapping[str, Any], frame: Frame) -> tuple[str, Mapping[str, str]]:
        assert {item["name"] for item in parameters_of(template, "inputs")} == set(frame.inputs)
        assert {item["name"] for item in artifacts_of(template, "inputs")} == set(frame.artifacts)
        if "dag" in template:
            return self.dag(template, frame)
        name = template["name"] + frame.turn
        self.ran[name] = self.command(template, frame)
        return (
            ("Failed", {}) if name in self.failing else ("Succeeded", Written(self.outputs, name))
        )

    def arguments(
        self, given: list[dict[str, str]], frame: Frame, item: str = ""
    ) -> dict[str, str]:
        texts = {one["name"]: one["value"].replace("{{item}}", item) for one in given}
        return {name: self.fill(text, frame) for name, text in texts.items()}

    def artifact(self, given: Mapping[str, str], frame: Frame) -> str:
        assert given["optional"], "what was never written would end the workflow"
        if "fromExpression" in given:
            return str(self.evaluated(given["fromExpression"], frame))
        kind, *rest = given["from"].strip("{}").split(".")
        if kind == "inputs":
            return frame.artifacts[rest[-1]]
        assert frame.states[rest[0]] == "Succeeded"
        return self.artifacts_made(rest[0], frame)[rest[-1]]

    def artifacts_made(self, task: str, frame: Frame) -> dict[str, str]:
        names = [item["name"] for item in artifacts_of(self.template(task), "outputs")]
        ran = frame.states[task] == "Succeeded"
        return {name: f"<{name} of {task}{frame.turn}>" for name in names if ran}

    def tag(self, name: str, frame: Frame) -> str:
        if name.startswith("= "):
            return go_text(self.evaluated(f"{{{{{name}}}}}", frame))
        if name in ARGO_FACTS:
            return ARGO_FACTS[name]
        kind, *rest = name.strip().split(".")
        if kind == "tasks":
            return frame.written[rest[0]][rest[-1]]
        return (self.values() if kind == "workflow" else frame.inputs)[rest[-1]]

    def fill(self, text: str, frame: Frame) -> str:
        for _ in range(2):
            text = re.sub(r"\{\{(.*?)\}\}", lambda match: self.tag(match[1], frame), text)
        return text

    def held_back(self, task: Mapping[str, Any], frame: Frame) -> str:
        def became(match: re.Match[str]) -> str:
            return str(frame.states[match[1]] == match[2])

        depends = re.sub(r"([a-z0-9-]+)\.([A-Z][a-z]+)", became, task.get("depends", "True"))
        if not eval(depends.replace("&&", "and").replace("||", "or"), {"__builtins__": {}}):
            return "Omitted"
        return "Skipped" if "when" in task and not self.evaluated(task["when"], frame) else ""

    def evaluated(self, text: str, frame: Frame) -> Any:
        tasks = {
            name: SimpleNamespace(
                status=state,
                outputs=SimpleNamespace(
                    parameters=frame.written[name], artifacts=self.artifacts_made(name, frame)
                ),
            )
            for name, state in frame.states.items()
        }
        names = {
            "tasks": tasks,
            "workflow": SimpleNamespace(name="w", status="Succeeded"),
            "inputs": SimpleNamespace(parameters=frame.inputs),
            "asInt": int,
            "asFloat": float,
            "string": str,
            "jsonpath": jsonpath,
            "toJson": go_json,
            "map": lambda items, of: [of(item) for item in items],
        }
        return evaluate(text.removeprefix("{{= ").removesuffix(" }}"), names)

    def command(self, template: Mapping[str, Any], frame: Frame) -> Command:
        texts, env = container(template["container"], lambda text: self.fill(text, frame))
        paths = {
            item["valueFrom"]["path"]: f"<path {item['name']}>"
            for item in parameters_of(template, "outputs")
        }
        for item in artifacts_of(template, "inputs"):
            paths[item["path"]] = frame.artifacts[item["name"]]
        for item in artifacts_of(template, "outputs"):
            paths[item["path"]] = f"<made {item['name']}>"
        for path in sorted(paths, key=len, reverse=True):
            texts = [text.replace(path, paths[path]) for text in texts]
        return texts, env


def aggregated(texts: list[str]) -> str:
    """Join what the turns of a loop gave: as texts, unless all are lists or dicts."""
    try:
        found = [json.loads(text) for text in texts]
    except ValueError:
        found = []
    nested = bool(found) and all(isinstance(one, list | dict) for one in found)
    return go_json(found if nested else texts)


def parameters_of(part: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return list(part.get(key, {}).get("parameters", []))


def artifacts_of(part: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return list(part.get(key, {}).get("artifacts", []))


@pytest.fixture
def condition_of_ir() -> Callable[[str, Mapping[str, Any]], bool]:
    """Evaluate a condition as KFP has it, over typed values."""

    def holds(condition: str, values: Mapping[str, Any]) -> bool:
        inputs = SimpleNamespace(parameter_values=values)
        return bool(evaluate(condition, {"inputs": inputs, "int": int, "double": float}))

    return holds


READ_BACK: deque[tuple[Manifest, Mapping[str, Any]]] = deque(maxlen=4)


def spec_of(manifest: Manifest) -> Mapping[str, Any]:
    """Take the manifest the long way, through its YAML; the last few are remembered."""
    for known, spec in READ_BACK:
        if known is manifest:
            return spec
    READ_BACK.append((manifest, yaml.load(manifest.to_yaml(), yaml.CSafeLoader)["spec"]))
    return READ_BACK[-1][1]


class Runner(Protocol):
    """Runs something with parameters; what tasks write and which fail is told."""

    def __call__(
        self,
        of: Any,
        parameters: Mapping[str, str],
        outputs: Outputs,
        failing: Iterable[str] = (),
        /,
    ) -> Commands: ...


@pytest.fixture
def evaluate_expression() -> Callable[[str, Mapping[str, Any]], Any]:
    return evaluate


@pytest.fixture
def run_graph() -> Runner:
    return lambda graph, given, outputs, failing=(): GraphRun(
        graph, given, outputs, frozenset(failing)
    ).commands()


@pytest.fixture
def run_tekton() -> Runner:
    return lambda manifest, given, outputs, failing=(): TektonRun(
        spec_of(manifest), given, outputs, frozenset(failing)
    ).commands()


@pytest.fixture
def run_argo() -> Runner:
    return lambda manifest, given, outputs, failing=(): ArgoRun(
        spec_of(manifest), given, outputs, frozenset(failing)
    ).commands()
