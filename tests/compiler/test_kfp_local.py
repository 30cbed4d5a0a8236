"""What runs, and with which values, is what ``kfp.local`` runs of the same pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from coalmine.compiler import argo
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph

SOURCE = Path(__file__).parent / "kfp_local.py"
EXPECTED = {
    "x": ["all u,v", "end", "inner", "one", "one", "part", "u", "v"],
    "y": ["all u,v", "end", "inner", "part", "two", "two", "u", "v"],
    "z": ["all u,v", "end", "inner", "part", "three", "three", "u", "v"],
}


def script(*arguments: object) -> None:
    subprocess.run(
        [sys.executable, SOURCE, *map(str, arguments)],
        check=True,
        timeout=170,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    path = tmp_path_factory.mktemp("flow") / "flow.yaml"
    script("compile", path)
    return read_graph(path)


def said(ran: Mapping[str, Any]) -> list[str]:
    """Give what each task would write to the log."""
    found = []
    for command, _ in ran.values():
        what, value, *_ = command
        found.append(value if what == "mark" else f"all {','.join(json.loads(value))}")
    return sorted(found)


def outputs_of(graph: Graph, run: Callable[..., Any], mode: str) -> dict[tuple[str, str], str]:
    """Let each task write the text that it was given, until nothing new is written."""
    outputs: dict[tuple[str, str], str] = {}
    while True:
        ran = run(graph, {"log": "l", "mode": mode}, outputs)
        found = {(name, "written"): command[1] for name, (command, _) in ran.items()}
        if found == outputs:
            return outputs
        outputs = found


@pytest.mark.parametrize("mode", EXPECTED)
def test_ours_say_what_kfp_local_says(
    flow: Graph, run_graph: Callable[..., Any], run_argo: Callable[..., Any], mode: str
) -> None:
    outputs = outputs_of(flow, run_graph, mode)
    parameters = {"log": "l", "mode": mode}
    assert said(run_graph(flow, parameters, outputs)) == EXPECTED[mode]
    assert said(run_argo(argo.lower(flow), parameters, outputs)) == EXPECTED[mode]


@pytest.mark.soak
@pytest.mark.parametrize("mode", EXPECTED)
def test_kfp_local_says_what_is_expected(tmp_path: Path, mode: str) -> None:
    script("run", tmp_path, mode)
    assert sorted((tmp_path / "log").read_text().splitlines()) == EXPECTED[mode]
