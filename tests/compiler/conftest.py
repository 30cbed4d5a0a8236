"""A corpus compiled by the real SDK, and evaluators that read manifests as their engines do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.compiler.graph import (
    Comparison,
    Constant,
    Graph,
    InputRef,
    Operator,
    OutputPath,
    ParameterRef,
    Task,
    Value,
)
from coalmine.compiler.manifest import Manifest

ROOT = Path(__file__).parent.parent.parent
Commands = dict[str, tuple[list[str], dict[str, str]]]
"""What runs: the argument list and the environment of each task that was not skipped."""
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


def output_of(outputs: Outputs, task: str, name: str) -> str:
    return outputs.get((task, name), f"<{task}.{name}>")


@pytest.fixture
def run_graph() -> Callable[[Graph, Mapping[str, str], Outputs], Commands]:
    """What the graph itself says runs: the yardstick."""

    def run(graph: Graph, parameters: Mapping[str, str], outputs: Outputs) -> Commands:
        values = {item.name: item.default or "" for item in graph.parameters} | dict(parameters)

        def value(of: Value) -> str:
            match of:
                case Constant(text):
                    return text
                case ParameterRef(name):
                    return values[name]
                case _:
                    return output_of(outputs, of.task, of.output)

        def holds(item: Comparison) -> bool:
            equal = value(item.left) == value(item.right)
            return equal is (item.operator is Operator.EQUAL)

        def command(task: Task) -> tuple[list[str], dict[str, str]]:
            given = {item.name: item.default or "" for item in task.inputs}
            given |= {name: value(of) for name, of in task.arguments}
            texts = [
                "".join(
                    given[part.name]
                    if isinstance(part, InputRef)
                    else f"<path {part.name}>"
                    if isinstance(part, OutputPath)
                    else part
                    for part in piece
                )
                for piece in (*task.command, *task.args)
            ]
            return texts, dict(task.env)

        ran: Commands = {}
        for task in graph.tasks:
            if task.depends_on() <= set(ran) and all(holds(item) for item in task.when):
                ran[task.name] = command(task)
        if graph.exit_task:
            ran[graph.exit_task.name] = command(graph.exit_task)
        return ran

    return run


def kubelet(text: str, env: Mapping[str, str]) -> str:
    """Expand a text as the kubelet does: ``$(NAME)`` and ``$$``."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return env.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


def container(
    spec: Mapping[str, Any], fill: Callable[[str], str]
) -> tuple[list[str], dict[str, str]]:
    env: dict[str, str] = {}
    for item in spec.get("env", []):
        env[item["name"]] = kubelet(fill(item["value"]), env)
    texts = [*spec.get("command", []), *spec.get("args", [])]
    return [kubelet(fill(text), env) for text in texts], env


@pytest.fixture
def run_tekton() -> Callable[[Manifest, Mapping[str, str], Outputs], Commands]:
    """What Tekton would run: it expands twice, and a ``runAfter`` lives through a skip."""

    def run(manifest: Manifest, parameters: Mapping[str, str], outputs: Outputs) -> Commands:
        spec = yaml.safe_load(manifest.to_yaml())["spec"]
        values = {item["name"]: item.get("default") for item in spec.get("params", [])}
        values |= dict(parameters)
        ran: Commands = {}

        def pipeline(text: str) -> str:
            for name, value in values.items():
                text = text.replace(f"$(params.{name})", value or "")
            return re.sub(
                r"\$\(tasks\.([a-z0-9-]+)\.results\.([\w-]+)\)",
                lambda match: output_of(outputs, match[1], match[2]),
                text,
            )

        def runs(task: Mapping[str, Any]) -> bool:
            text = str(task.get("params", "")) + str(task.get("when", ""))
            used = set(re.findall(r"\$\(tasks\.([a-z0-9-]+)\.results", text))
            return used <= set(ran) and all(
                (pipeline(item["input"]) in [pipeline(one) for one in item["values"]])
                is (item["operator"] == "in")
                for item in task.get("when", [])
            )

        def command(task: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
            given = {item["name"]: pipeline(item["value"]) for item in task.get("params", [])}
            declared = {item["name"] for item in task["taskSpec"].get("params", [])}
            assert declared == set(given)

            def fill(text: str) -> str:
                for _ in range(2):
                    for name, value in given.items():
                        text = text.replace(f"$(params.{name})", value)
                return re.sub(r"\$\(results\.([\w-]+)\.path\)", r"<path \1>", text)

            return container(task["taskSpec"]["steps"][0], fill)

        for task in spec["tasks"]:
            if runs(task):
                ran[task["name"]] = command(task)
        for task in spec.get("finally", []):
            ran[task["name"]] = command(task)
        return ran

    return run


@pytest.fixture
def run_argo() -> Callable[[Manifest, Mapping[str, str], Outputs], Commands]:
    """What Argo would run: tags are filled twice, ``when`` is an expression."""

    def run(manifest: Manifest, parameters: Mapping[str, str], outputs: Outputs) -> Commands:
        spec = yaml.safe_load(manifest.to_yaml())["spec"]
        given = spec.get("arguments", {}).get("parameters", [])
        values = {item["name"]: item.get("value", "") for item in given} | dict(parameters)
        templates = {item["name"]: item for item in spec["templates"]}
        ran: Commands = {}

        def tag(name: str, inputs: Mapping[str, str]) -> str:
            kind, *rest = name.strip().split(".")
            match kind:
                case "workflow":
                    return values[rest[-1]]
                case "tasks":
                    return output_of(outputs, rest[0], rest[-1])
                case _:
                    return inputs[rest[-1]]

        def fill(text: str, inputs: Mapping[str, str]) -> str:
            for _ in range(2):
                text = re.sub(r"\{\{(.*?)\}\}", lambda match: tag(match[1], inputs), text)
            return text

        def operand(text: str) -> str:
            if text.startswith("'"):
                return text[1:-1]
            parts = re.findall(r"'([^']*)'", text)
            return values[parts[0]] if len(parts) == 1 else output_of(outputs, parts[0], parts[1])

        def holds(text: str) -> bool:
            expression = text.removeprefix("{{= ").removesuffix(" }}")
            side = r"('[^']*'|inputs\.parameters\['[^']*'\]|tasks\['[^']*'\]\.outputs\.parameters\['[^']*'\])"
            found = re.findall(rf"{side} (==|!=) {side}", expression)
            assert " && ".join(" ".join(one) for one in found) == expression
            return all((operand(a) == operand(b)) is (op == "==") for a, op, b in found)

        def command(template: str, given: list[dict[str, str]]) -> tuple[list[str], dict[str, str]]:
            inputs = {item["name"]: fill(item["value"], {}) for item in given}
            wanted = templates[template].get("inputs", {}).get("parameters", [])
            assert {item["name"] for item in wanted} == set(inputs)
            texts, env = container(
                templates[template]["container"], lambda text: fill(text, inputs)
            )
            pattern = r"/tmp/coalmine-output-([\w-]+)"
            return [re.sub(pattern, r"<path \1>", text) for text in texts], env

        for task in templates[spec["entrypoint"]]["dag"]["tasks"]:
            needed = [name.strip() for name in task.get("depends", "").split("&&") if name]
            assert all(name.endswith(".Succeeded") for name in needed)
            if {name.removesuffix(".Succeeded") for name in needed} <= set(ran) and (
                "when" not in task or holds(task["when"])
            ):
                arguments = task.get("arguments", {}).get("parameters", [])
                ran[task["name"]] = command(task["template"], arguments)
        if "onExit" in spec:
            end = templates[spec["onExit"]]
            ran[end["name"]] = command(end["name"], end.get("inputs", {}).get("parameters", []))
        return ran

    return run
