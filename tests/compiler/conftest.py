"""A corpus compiled by the real SDK, and evaluators that read manifests as their engines do."""

from __future__ import annotations

import operator
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
import yaml
from hypothesis import HealthCheck, settings

from coalmine.compiler.graph import (
    Comparison,
    Constant,
    Graph,
    InputRef,
    OneOf,
    OutputPath,
    ParameterRef,
    ParameterType,
    Task,
    Value,
    references,
)
from coalmine.compiler.manifest import Manifest

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


@pytest.fixture
def check_manifest(tmp_path: Path) -> Callable[[str], None]:
    """Hold a manifest against the published schemas."""
    places = [os.environ.get("COALMINE_SHARED", ""), str(ROOT.parent / "shared")]
    found = [Path(place, "bin", "check-manifests") for place in places if place]
    checker = next((path for path in found if path.is_file()), None)
    if checker is None:
        pytest.skip("no ../shared/bin/check-manifests; set COALMINE_SHARED")

    def check(text: str) -> None:
        file = tmp_path / "manifest.yaml"
        file.write_text(text)
        done = subprocess.run(
            [sys.executable, checker, file], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert ": ok" in done.stdout

    return check


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
    """The outputs of one task."""

    def __init__(self, outputs: Outputs, task: str) -> None:
        super().__init__({name: text for (of, name), text in outputs.items() if of == task})

    def __missing__(self, name: str) -> str:
        return f"<{name} written>"


WORDS = {"&&": " and ", "||": " or ", "!": " not ", "true": "True", "false": "False"}


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Evaluate the part of CEL and of Argo's expressions that differs from Python in words only."""
    texts: list[str] = []

    def kept(match: re.Match[str]) -> str:
        texts.append(match[0])
        return f"<{len(texts) - 1}>"

    python = chosen(re.sub(r"'[^']*'", kept, expression.strip()))
    python = python.replace("«", "(").replace("»", ")")
    python = re.sub(r"&&|\|\||!(?!=)|\btrue\b|\bfalse\b", lambda match: WORDS[match[0]], python)
    python = re.sub(r"<(\d+)>", lambda match: texts[int(match[1])], python)
    return eval(python.strip(), {"__builtins__": {}}, dict(names))


def chosen(text: str) -> str:
    """Write ``condition ? one : other`` as Python does; each stands alone or in brackets."""
    while match := re.search(r"\(([^()]* \? [^()]* : [^()]*)\)", text):
        text = f"{text[: match.start()]}«{chosen(match[1])}»{text[match.end() :]}"
    if " ? " in text:
        condition, _, rest = text.partition(" ? ")
        one, _, other = rest.partition(" : ")
        text = f"«{one}» if «{condition}» else «{chosen(other)}»"
    return text


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
        for task in self.graph.tasks:
            self.states[task.name] = "Skipped"
            if self.runs(task):
                ran[task.name] = self.command(task)
                self.states[task.name] = "Failed" if task.name in self.failing else "Succeeded"
        if self.graph.exit_task:
            ran[self.graph.exit_task.name] = self.command(self.graph.exit_task)
        return ran

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

    def value(self, of: Value) -> str:
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
            case _:
                return output_of(self.outputs, of.task, of.output)

    def holds(self, item: Comparison) -> bool:
        left, right = (READ[item.type](self.value(side)) for side in (item.left, item.right))
        return OPERATIONS[item.operator.value](left, right) is not item.negated

    def command(self, task: Task) -> Command:
        given = {item.name: item.default or "" for item in task.inputs}
        for name, of in task.arguments:
            ends = [found.task for found in references(of) if found.task in task.behind]
            if all(self.succeeded(end) for end in ends):
                given[name] = self.value(of)

        def text(part: str | InputRef | OutputPath) -> str:
            match part:
                case InputRef(name):
                    return given[name]
                case OutputPath(name):
                    return f"<path {name}>"
                case _:
                    return part

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


@dataclass(frozen=True)
class TektonRun:
    """What Tekton would run: it expands twice, and a ``runAfter`` lives through a skip."""

    spec: Mapping[str, Any]
    parameters: Mapping[str, str]
    outputs: Outputs

    failing: frozenset[str] = frozenset()
    states: dict[str, str] = field(default_factory=dict)

    def commands(self) -> Commands:
        ran: Commands = {}
        for task in self.spec["tasks"]:
            self.states[task["name"]] = "None"
            if "Failed" not in self.states.values() and self.runs(task):
                ran[task["name"]] = self.command(task)
                failed = task["name"] in self.failing
                self.states[task["name"]] = "Failed" if failed else "Succeeded"
        for task in self.spec.get("finally", []):
            if self.runs(task):
                ran[task["name"]] = self.command(task)
        return ran

    def fill(self, text: str) -> str:
        values = {item["name"]: item.get("default", "") for item in self.spec.get("params", [])}
        for name, value in (values | dict(self.parameters)).items():
            text = text.replace(f"$(params.{name})", value)
        text = re.sub(
            r"\$\(tasks\.([a-z0-9-]+)\.status\)", lambda match: self.states[match[1]], text
        )
        return re.sub(
            r"\$\(tasks\.([a-z0-9-]+)\.results\.([\w-]+)\)",
            lambda match: output_of(self.outputs, match[1], match[2]),
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


@dataclass(frozen=True)
class ArgoRun:
    """What Argo would run: tags are filled twice, ``when`` is an expression."""

    spec: Mapping[str, Any]
    parameters: Mapping[str, str]
    outputs: Outputs

    failing: frozenset[str] = frozenset()
    states: dict[str, str] = field(default_factory=dict)

    def commands(self) -> Commands:
        ran: Commands = {}
        for task in self.template(self.spec["entrypoint"])["dag"]["tasks"]:
            name = task["name"]
            self.states[name] = self.becomes(task)
            if self.states[name] in {"Succeeded", "Failed"}:
                ran[name] = self.command(task["template"], parameters_of(task, "arguments"))
        if "onExit" in self.spec:
            name = self.spec["onExit"]
            ran[name] = self.command(name, parameters_of(self.template(name), "inputs"))
        return ran

    def template(self, name: str) -> Mapping[str, Any]:
        (found,) = [item for item in self.spec["templates"] if item["name"] == name]
        return dict(found)

    def values(self) -> dict[str, str]:
        given = {
            item["name"]: item.get("value", "") for item in parameters_of(self.spec, "arguments")
        }
        return given | dict(self.parameters)

    def tag(self, name: str, inputs: Mapping[str, str]) -> str:
        kind, *rest = name.strip().split(".")
        if kind == "tasks":
            return output_of(self.outputs, rest[0], rest[-1])
        return (self.values() if kind == "workflow" else inputs)[rest[-1]]

    def fill(self, text: str, inputs: Mapping[str, str]) -> str:
        for _ in range(2):
            if text.startswith("{{= "):
                text = str(self.evaluated(text))
            text = re.sub(r"\{\{(.*?)\}\}", lambda match: self.tag(match[1], inputs), text)
        return text

    def becomes(self, task: Mapping[str, Any]) -> str:
        def became(match: re.Match[str]) -> str:
            return str(self.states[match[1]] == match[2])

        depends = re.sub(r"([a-z0-9-]+)\.([A-Z][a-z]+)", became, task.get("depends", "True"))
        if not eval(depends.replace("&&", "and").replace("||", "or"), {"__builtins__": {}}):
            return "Omitted"
        if "when" in task and not self.evaluated(task["when"]):
            return "Skipped"
        return "Failed" if task["name"] in self.failing else "Succeeded"

    def evaluated(self, text: str) -> Any:
        assert text.startswith("{{= ")
        text = text.removeprefix("{{= ").removesuffix(" }}")
        tasks = {
            name: SimpleNamespace(
                status=state, outputs=SimpleNamespace(parameters=Written(self.outputs, name))
            )
            for name, state in self.states.items()
        }
        names = {
            "tasks": tasks,
            "inputs": SimpleNamespace(parameters=self.values()),
            "asInt": int,
            "asFloat": float,
        }
        return evaluate(text, names)

    def command(self, name: str, given: list[dict[str, str]]) -> Command:
        inputs = {item["name"]: self.fill(item["value"], {}) for item in given}
        template = self.template(name)
        assert {item["name"] for item in parameters_of(template, "inputs")} == set(inputs)
        texts, env = container(template["container"], lambda text: self.fill(text, inputs))
        paths = {
            item["valueFrom"]["path"]: item["name"] for item in parameters_of(template, "outputs")
        }
        for path in sorted(paths, key=len, reverse=True):
            texts = [text.replace(path, f"<path {paths[path]}>") for text in texts]
        return texts, env


def parameters_of(part: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return list(part.get(key, {}).get("parameters", []))


@pytest.fixture
def condition_of_ir() -> Callable[[str, Mapping[str, Any]], bool]:
    """Evaluate a condition as KFP has it, over typed values."""

    def holds(condition: str, values: Mapping[str, Any]) -> bool:
        inputs = SimpleNamespace(parameter_values=values)
        return bool(evaluate(condition, {"inputs": inputs, "int": int, "double": float}))

    return holds


def spec_of(manifest: Manifest) -> Mapping[str, Any]:
    """Take the manifest the long way, through its YAML."""
    return dict(yaml.safe_load(manifest.to_yaml())["spec"])


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
