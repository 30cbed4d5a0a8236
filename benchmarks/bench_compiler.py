"""Compiling: IR beside the parsing of its YAML alone, a source beside `kfp dsl compile`."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from measure import Timing, interleaved, print_head, print_timing

from coalmine.compiler import tekton
from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.targets import Target, compile_targets
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, LoopItem

SIZES = (10, 100, 1_000)
LOOPS = (100, 1_000)
ROUNDS = 5
GOAL_10_SECONDS = 0.05
GOAL_SOURCE_RATIO = 1.1
SOURCE = Path("pipelines/release.py")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _bench_ir(Path(folder))
        _bench_loops()
        _bench_source(Path(folder))


def _bench_ir(folder: Path) -> None:
    things: dict[str, Callable[[], float]] = {}
    for size in SIZES:
        path = folder / f"ir{size}.yaml"
        path.write_text(yaml.safe_dump(_ir(size), sort_keys=False))
        things[f"parse_{size}"] = partial(_cpu, partial(_parse, path))
        things[f"targets_{size}"] = partial(_cpu, partial(_all_targets, path))
    timings = interleaved(ROUNDS, **things)
    assert not any(name.split(".")[0] == "kfp" for name in sys.modules), "kfp was imported"
    print_head("IR to KFP, Tekton and Argo, beside parsing its YAML once (libyaml)")
    for size in SIZES:
        pair = [timings[f"parse_{size}"], timings[f"targets_{size}"]]
        print_timing(pair, floor=f"parse_{size}")
    _say_goal("10 tasks to all targets", timings["targets_10"].median, GOAL_10_SECONDS)
    growth = timings["targets_1000"].median / timings["targets_100"].median
    print(f"  10 times the tasks (100 to 1,000) take {growth:.1f} times as long")


def _say_goal(what: str, seconds: float, goal: float) -> None:
    print(f"  {what}: {1000 * seconds:.1f} ms, goal {1000 * goal:.0f} ms")


def _cpu(thing: Callable[[], None]) -> float:
    """Give the processor's time for it, which other work on the machine disturbs less."""
    gc.collect()
    began = time.process_time()
    thing()
    return time.process_time() - began


def _bench_loops() -> None:
    graphs = {f"turns_{size}": _nested(size) for size in LOOPS}
    things = {name: partial(_cpu, partial(_unroll, graph)) for name, graph in graphs.items()}
    timings = interleaved(ROUNDS, **things)
    print_head("A loop within a loop to Tekton, where each turn becomes a task")
    print_timing(list(timings.values()), floor=f"turns_{LOOPS[0]}")


def _unroll(graph: Graph) -> None:
    tekton.lower(graph)


def _nested(size: int) -> Graph:
    task = Task(
        "say",
        "say",
        "registry.example.com/tool:1",
        inputs=(Parameter("text"),),
        arguments=(("text", LoopItem("inner")),),
        loops=("outer", "inner"),
    )
    outer = Loop("outer", Constant(json.dumps(list(range(size // 5)))))
    inner = Loop("inner", Constant("[1, 2, 3, 4, 5]"), loops=("outer",))
    return Graph("nested", (), (task,), loops=(outer, inner))


def _parse(path: Path) -> None:
    yaml.load(path.read_text(), yaml.CSafeLoader)


def _all_targets(path: Path) -> None:
    compile_targets(path, list(Target))


def _ir(size: int) -> dict[str, Any]:
    """Make a pipeline of so many tasks in rows of ten, each task fed by the one before it."""
    tasks, components, executors = {}, {}, {}
    for number in range(size):
        tasks[f"task-{number}"] = _task(number)
        components[f"comp-task-{number}"] = {
            "executorLabel": f"exec-{number}",
            "inputDefinitions": {"parameters": {"text": {"parameterType": "STRING"}}},
            "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}},
        }
        arguments = ["--text", "{{$.inputs.parameters['text']}}"]
        arguments += ["--out-path", "{{$.outputs.parameters['out'].output_file}}"]
        container = {"image": "registry.example.com/tool:1", "command": ["tool"], "args": arguments}
        executors[f"exec-{number}"] = {"container": container}
    parameters = {"text": {"parameterType": "STRING", "defaultValue": "x", "isOptional": True}}
    return {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "many"},
        "root": {"dag": {"tasks": tasks}, "inputDefinitions": {"parameters": parameters}},
        "components": components,
        "deploymentSpec": {"executors": executors},
    }


def _task(number: int) -> dict[str, Any]:
    before = f"task-{number - 1}"
    source: dict[str, Any] = {"componentInputParameter": "text"}
    if number % 10:
        source = {
            "taskOutputParameter": {"producerTask": before, "outputParameterKey": "out"},
        }
    return {
        "componentRef": {"name": f"comp-task-{number}"},
        "inputs": {"parameters": {"text": source}},
        "dependentTasks": [before] if number % 10 else [],
        "taskInfo": {"name": f"task-{number}"},
    }


def _bench_source(folder: Path) -> None:
    compiled = str(folder / "kfp.yaml")
    kfp = ["kfp", "dsl", "compile", "--py", str(SOURCE), "--output", compiled]
    ours = ["coalmine", "compile", str(SOURCE), "--target"]
    timings = interleaved(
        ROUNDS,
        kfp_dsl_compile=lambda: _run(kfp),
        coalmine_tekton=lambda: _run([*ours, "tekton", "-o", str(folder / "tekton.yaml")]),
        coalmine_argo=lambda: _run([*ours, "argo", "-o", str(folder / "argo.yaml")]),
    )
    print_head("A source, beside `kfp dsl compile` on the same file")
    print_timing(list(timings.values()), floor="kfp_dsl_compile")
    worst = max(_ratio(timings, name) for name in ("coalmine_tekton", "coalmine_argo"))
    print(f"  at most {worst:.2f} times kfp, goal {GOAL_SOURCE_RATIO}")


def _ratio(timings: dict[str, Timing], name: str) -> float:
    return timings[name].median / timings["kfp_dsl_compile"].median


def _run(command: list[str]) -> None:
    # Both commands stand beside the Python that runs this.
    program = Path(sys.executable).with_name(command[0])
    subprocess.run([program, *command[1:]], check=True, capture_output=True)


if __name__ == "__main__":
    main()
