"""Python function components: the manifests' commands run here, and give what kfp.local gives."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine.compiler import argo, bootstrap, tekton
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph
from coalmine.compiler.manifest import Manifest
from coalmine.compiler.piece import ExecutorText
from coalmine.compiler.task import Task
from coalmine.compiler.tekton_text import VARIABLE
from coalmine.compiler.wrap import script
from coalmine.engines.local.arguments import arguments_of, outputs_of
from coalmine.engines.local.ended import Ended
from coalmine.engines.protocol import TaskState

TEXT = 'it\'s "x" {{{y}}} é\n\\ $HOME `id`'
WANTED = {
    "echo": f"<{TEXT}>",
    "total": "5",
    "all": '{"options":{"a":0.5,"b":1}}',
    "seen": '[3,0.25,true,null,["é",1]]',
    "lines": f"<{TEXT}>\n{{}}\n",
}
METADATA = "[('accuracy', 0.5), ('odd', '{{=1}} $(date) é')]"
SAID = f"<{TEXT}>|data|<{TEXT}>\n{{}}\n|5|None|Model|{METADATA}"


@pytest.fixture(scope="module")
def no_pip(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment whose python3 has kfp and installs nothing."""
    folder = tmp_path_factory.mktemp("bin")
    script_file = folder / "python3"
    script_file.write_text(f'#!/bin/sh\n[ "$2" = pip ] || exec {sys.executable} "$@"\n')
    script_file.chmod(0o755)
    shutil.copy(script_file, folder / "pip")
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def kubelet(text: str) -> str:
    """Expand a text as the kubelet does, where none of its variables is named."""
    return re.sub(r"\$\$", "$", text)


@dataclass
class Pods:
    """Runs the steps of a manifest one after the other, as its engine would fill them in."""

    folder: Path
    env: Mapping[str, str]
    results: dict[tuple[str, str], str] = field(default_factory=dict)

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            [kubelet(text) for text in command],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def tekton(self, spec: Mapping[str, Any], given: Mapping[str, str]) -> str:
        values = {item["name"]: item.get("default", "") for item in spec["params"]} | dict(given)
        return next(filter(None, (self._tekton_task(task, values) for task in spec["tasks"])), "")

    def _tekton_task(self, task: Mapping[str, Any], values: Mapping[str, str]) -> str:
        def outer(text: str) -> str:
            text = text.replace("$(context.pipelineRun.name)", "run-1")
            for name, value in values.items():
                text = text.replace(f"$(params.{name})", value)
            for (other, name), value in self.results.items():
                text = text.replace(f"$(tasks.{other}.results.{name})", value)
            return text

        params = {item["name"]: outer(item["value"]) for item in task["params"]}
        home = self.folder / task["name"]
        home.mkdir()
        step = task["taskSpec"]["steps"][0]

        def inner(text: str) -> str:
            text = text.replace("$(workspaces.artifacts.path)", str(self.folder))
            text = re.sub(r"\$\(results\.([\w-]+)\.path\)", rf"{home}/\1", text)
            for name, value in params.items():
                text = text.replace(f"$(params.{name})", value)
            return text

        failed = self.run([inner(text) for text in (*step["command"], *step["args"])])
        for item in task["taskSpec"].get("results", []):
            path = home / item["name"]
            self.results[task["name"], item["name"]] = path.read_text() if path.exists() else ""
        return failed

    def argo(self, spec: Mapping[str, Any], given: Mapping[str, str]) -> str:
        values = {item["name"]: item["value"] for item in spec["arguments"]["parameters"]}
        templates = {item["name"]: item for item in spec["templates"]}
        tasks = templates[spec["entrypoint"]]["dag"]["tasks"]
        said = (
            self._argo_task(task, templates[task["name"]], values | dict(given)) for task in tasks
        )
        return next(filter(None, said), "")

    def _argo_task(
        self, task: Mapping[str, Any], template: Mapping[str, Any], values: Mapping[str, str]
    ) -> str:
        def outer(text: str) -> str:
            def tag(match: re.Match[str]) -> str:
                kind, *rest = match[1].split(".")
                return values[rest[-1]] if kind == "workflow" else self.results[rest[0], rest[-1]]

            return re.sub(r"\{\{(.*?)\}\}", tag, text)

        home = self.folder / task["name"]
        home.mkdir()
        params = {
            item["name"]: outer(item["value"]) for item in task["arguments"].get("parameters", [])
        }
        for item in task["arguments"].get("artifacts", []):
            self._fetch(item["from"], home / f"coalmine-taken-{item['name']}")

        def inner(text: str) -> str:
            text = text.replace("/tmp/coalmine-", f"{home}/coalmine-")
            return re.sub(r"\{\{inputs\.parameters\.(.*?)\}\}", lambda at: params[at[1]], text)

        container = template["container"]
        failed = self.run([inner(text) for text in (*container["command"], *container["args"])])
        for item in template["outputs"].get("parameters", []):
            path = Path(inner(item["valueFrom"]["path"]))
            text = path.read_text() if path.exists() else item["valueFrom"].get("default", "")
            self.results[task["name"], item["name"]] = text.removesuffix("\n")
        return failed

    def _fetch(self, source: str, to: Path) -> None:
        _, task, *_, name = source.strip("{}").split(".")
        made = self.folder / task / f"coalmine-made-{name}"
        if made.exists():
            shutil.copy(made, to)


Runs = Callable[[Pods, Graph], str]
RUNS: dict[str, Runs] = {
    "tekton": lambda pods, graph: pods.tekton(
        tekton.lower(graph).document["spec"], {"text": TEXT.replace("$HOME", "$$HOME")}
    ),
    "argo": lambda pods, graph: pods.argo(argo.lower(graph).document["spec"], {"text": TEXT}),
}


@pytest.mark.parametrize("target", RUNS)
def test_functions_run_in_pods_without_kfp(
    corpus: Path, tmp_path: Path, no_pip: Mapping[str, str], target: str
) -> None:
    pods = Pods(tmp_path, no_pip)
    assert not RUNS[target](pods, read_graph(corpus / "functions.yaml"))
    assert {name: pods.results["produce", name] for name in WANTED} == WANTED
    assert pods.results["consume", "Output"] == SAID


def test_kfp_local_says_the_same(corpus: Path, tmp_path: Path) -> None:
    """The same pipeline, run by the SDK's own runner, in a process of its own: it keeps state."""
    pytest.importorskip("pip", reason="the SDK's runner calls pip, which is not in this .venv")
    code = f"""
import json, sys, warnings
sys.path.insert(0, {str(Path(__file__).parent)!r})
warnings.simplefilter("ignore")
import corpus
from kfp import local
local.init(local.SubprocessRunner(use_venv=False), pipeline_root={str(tmp_path)!r})
for part in (corpus.produce, corpus.consume):
    command = part.component_spec.implementation.container.command
    assert command[:2] == ["sh", "-c"]
    del command[:3]
done = corpus.functions(text={TEXT!r}, extra="e")
print("SAID" + json.dumps([done.outputs["said"], done.outputs["metrics"].metadata]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    (line,) = [text for text in done.stdout.splitlines() if text.startswith("SAID")] or [""]
    assert line, done.stdout[-2000:] + done.stderr[-2000:]
    assert json.loads(line.removeprefix("SAID")) == [SAID, {"loss": 0.25}]


@pytest.mark.parametrize(("mode", "ran"), [("x", "returned"), ("y", "returned-2")])
def test_the_artifact_of_the_branch_that_ran_is_taken(
    corpus: Path, evaluate_expression: Callable[..., Any], mode: str, ran: str
) -> None:
    graph = read_graph(corpus / "oneof_artifacts.yaml")
    taker = graph.tasks[-1]
    states = dict.fromkeys(("returned", "returned-2"), TaskState.SKIPPED)
    written = {ran: Ended(TaskState.SUCCEEDED, {"Output": f"<{ran}>"})}
    ended = {name: Ended(state) for name, state in states.items()} | written
    assert arguments_of(taker, {"mode": mode}, ended) == {"data": f"<{ran}>"}
    assert outputs_of(graph, {"mode": mode}, ended) == {"Output": f"<{ran}>"}

    whole = argo.lower(graph).document["spec"]["templates"][0]
    node = whole["dag"]["tasks"][-1]
    (given,) = node["arguments"]["artifacts"]
    (about,) = node["arguments"]["parameters"]
    (out,) = whole["outputs"]["artifacts"]
    tasks = {
        name: SimpleNamespace(
            status="Succeeded" if name == ran else "Skipped",
            outputs=SimpleNamespace(
                artifacts={"Output": f"<{name}>"}, parameters={"Output-about": f"<{name}>"}
            ),
        )
        for name in states
    }
    found = [given["fromExpression"], out["fromExpression"], about["value"].strip("{=} ")]
    assert [evaluate_expression(one, {"tasks": tasks}) for one in found] == [f"<{ran}>"] * 3
    assert "status == 'Succeeded'" in node["when"]

    spec = tekton.lower(graph).document["spec"]
    twins = {task["name"]: task for task in spec["tasks"] if task["name"].startswith("read-back")}
    assert twins.keys() == {"read-back-1", "read-back-2"}
    twin = twins["read-back-1" if mode == "x" else "read-back-2"]
    assert ran in twin["runAfter"]
    (when,) = twin["when"]
    assert (when["operator"] == "in") is (mode == "x")
    assert f".{ran}.Output" in str(twin["taskSpec"]["steps"])


def spec(**fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"inputs": {}, "outputs": {}, "taken": {}, "made": {}, "fill": {}}
    return {**plain, "limit": 0, "final": "", **fields}


def boot(said: list[str], code: str, **fields: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script(), json.dumps(spec(**fields)), *said, "--"]
    return subprocess.run(
        [*command, sys.executable, "-c", code, "executor input"],
        capture_output=True,
        text=True,
        check=False,
    )


ASK = {"fill": {"3": [["executor", "input"]]}}
WRITE = (
    "import json,sys; request=json.loads(sys.argv[1]); "
    "open(request['outputs']['outputFile'],'w').write(json.dumps({'parameterValues': %r}))"
)


def test_what_is_too_large_is_refused_with_its_size(tmp_path: Path) -> None:
    said = [f"result:big={tmp_path}/big"]
    code = WRITE % {"big": "x" * 4100}
    done = boot(said, code, outputs={"big": "STRING"}, limit=4000, **ASK)
    assert done.returncode == 1
    assert re.search(r"the outputs big take 41\d\d bytes together, and 4000 is", done.stderr)
    assert not (tmp_path / "big").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [("pass", "No such file"), (WRITE % {"n": "many"}, "invalid"), (WRITE % {"n": [1]}, "[1]")],
)
def test_an_output_that_is_missing_or_wrong(tmp_path: Path, code: str, said: str) -> None:
    done = boot([f"result:n={tmp_path}/n"], code, outputs={"n": "NUMBER_INTEGER"}, **ASK)
    assert done.returncode == 1
    assert "an output is missing or of another type" in done.stderr
    assert said in done.stderr


def test_exit_codes_are_handed_on() -> None:
    assert boot([], "raise SystemExit(7)").returncode == 7
    assert boot([], "import os; os.kill(os.getpid(), 9)").returncode == 137


def test_values_are_typed_and_absent_ones_left_out() -> None:
    kinds = {"s": "STRING", "b": "BOOLEAN", "l": "LIST", "n": "NUMBER_DOUBLE", "o": "STRING"}
    said = ["input:s=a=b:c", "input:b=True", 'input:l=["{{x}}"]', "input:n=1e3", "optional:o="]
    code = "import sys; print(sys.argv[1])"
    done = boot(said, code, inputs=kinds, **ASK)
    values = json.loads(done.stdout)["inputs"]["parameterValues"]
    assert values == {"s": "a=b:c", "b": True, "l": ["{{x}}"], "n": 1000.0}


texts = st.text(
    st.sampled_from("$(){}'\"\\ \n\tabparms.=é☃:#-%") | st.characters(exclude_categories=["Cs"]),
    max_size=20,
)
SCRIPT = "kfp.dsl.executor_main"


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60, deadline=None)
@given(source=texts, literal=texts)
@pytest.mark.parametrize("lower", [tekton.lower, argo.lower])
def test_every_literal_of_a_function_arrives(
    lower: Callable[[Graph], Manifest], source: str, literal: str
) -> None:
    """Even those that an engine would take for its own language."""
    task = Task(
        name="t",
        component="t",
        image="python",
        command=(("sh",), (SCRIPT,), (source,)),
        args=((literal, ExecutorText.INPUT),),
    )
    spec = yaml.safe_load(lower(Graph("g", (), (task,))).to_yaml())["spec"]
    place = spec["tasks"][0]["taskSpec"]["steps"][0] if "tasks" in spec else None
    args = (place or spec["templates"][1]["container"])["args"]
    assert not any("{{" in text for text in args) or place
    assert not any(VARIABLE.search(text) for text in args) or not place
    fill = json.loads(kubelet(args[0]))["fill"]
    assert fill["3"] == [literal, ["executor", "input"]]
    shown = kubelet(args[args.index("--") + 3])
    assert "".join(fill.get("2", [shown])) == source


def test_the_bootstrap_holds_nothing_that_an_engine_reads() -> None:
    assert not re.search(r"\{\{|\$\(|\$\$", script())
    assert "coalmine" not in re.sub(r"#.*", "", script())


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (3.0, "NUMBER_INTEGER", "3"),
        (True, "BOOLEAN", "true"),
        (0.1, "NUMBER_DOUBLE", "0.1"),
        ([1.0, None], "LIST", "[1,null]"),
        ("a\n", "STRING", "a\n"),
    ],
)
def test_outputs_are_written_as_kfp_hands_them_on(value: Any, kind: str, text: str) -> None:
    assert bootstrap.text_of(value, kind) == text
