from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph
from coalmine.compiler.order import ancestors
from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef, Value
from coalmine.compiler.views import to_json, to_mermaid, to_svg, to_text
from coalmine.compiler.views.edges import edges, say

ROOT = Path(__file__).parent.parent.parent
Coalmine = Callable[..., subprocess.CompletedProcess[str]]
RELEASE = ROOT / "compiled" / "kfp" / "release.yaml"
NODE = re.compile(r'  (\w+)\(?\["([^"]*)"\]\)?')
ARROW = re.compile(r'  (\w+) (?:-- "([^"]*)" -->|-\. "(always)" \.->|-->) (\w+)')


def unescaped(text: str) -> str:
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), text)


def read_mermaid(text: str) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """Read nodes and edges back as Mermaid would; any other line is an error."""
    first, *lines = text.splitlines()
    assert first == "flowchart TD"
    nodes: dict[str, str] = {}
    arrows: list[tuple[str, str, str]] = []
    for line in lines:
        if match := NODE.fullmatch(line):
            nodes[match[1]] = unescaped(match[2])
        else:
            match = ARROW.fullmatch(line)
            assert match, line
            label = unescaped(match[2] or match[3] or "")
            arrows.append((nodes[match[1]], label, nodes[match[4]]))
    return nodes, arrows


def test_release_as_text() -> None:
    lines = to_text(read_graph(RELEASE)).splitlines()
    assert lines[0] == "pipeline release"
    assert "  parameter percent: NUMBER_INTEGER = '10'" in lines
    assert [line.split(maxsplit=1) for line in lines if line.split()[0] in TASKS] == [
        ["retrieve"],
        ["build", "after retrieve"],
        ["canary", "after build"],
        ["gate", "after canary"],
        ["promote", 'after gate, if gate.verdict == "promote"'],
        ["rollback", 'after gate, if gate.verdict != "promote"'],
        ["finalize", "at the end, however it came"],
    ]


TASKS = {"retrieve", "build", "canary", "gate", "promote", "rollback", "finalize"}


def test_release_as_mermaid() -> None:
    nodes, arrows = read_mermaid(to_mermaid(read_graph(RELEASE)))
    assert set(nodes.values()) == TASKS | {"release"}
    assert ("release", "", "retrieve") in arrows
    assert ("gate", 'gate.verdict == "promote"', "promote") in arrows
    assert [arrow for arrow in arrows if arrow[1] == "always"] == [
        ("promote", "always", "finalize"),
        ("rollback", "always", "finalize"),
    ]


def test_release_as_json() -> None:
    written = json.loads(to_json(read_graph(RELEASE)))
    tasks = {task["name"]: task for task in written["tasks"]}
    assert list(tasks) == [name for name in tasks if name in TASKS - {"finalize"}]
    assert tasks["promote"]["when"] == ['gate.verdict == "promote"']
    assert tasks["build"]["waitsFor"] == ["retrieve"]
    assert written["exitTask"]["name"] == "finalize"
    assert {"from": "gate", "to": "rollback", "when": ['gate.verdict != "promote"']} in written[
        "edges"
    ]
    assert {"from": "rollback", "to": "finalize", "always": True} in written["edges"]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 5))):
        before = [task.name for task in tasks]
        values: list[Value] = [ParameterRef("p"), *(TaskOutputRef(name, "o") for name in before)]
        left = draw(st.sampled_from(values))
        kind = draw(st.sampled_from(ParameterType))
        condition = Comparison(left, draw(st.sampled_from(Operator)), Constant(draw(words)), kind)
        after = draw(st.sets(st.sampled_from(before))) if before else set()
        when = (condition,) if draw(st.booleans()) else ()
        tasks.append(Task(f"t{number}", "c", "i", after=tuple(sorted(after)), when=when))
    return Graph(
        "g", (Parameter("p", default=""),), tuple(tasks), draw(st.sampled_from([None, END]))
    )


END = Task("end", "c", "i")


@given(graph=graphs())
def test_edges_say_order_and_conditions_and_nothing_else(graph: Graph) -> None:
    found = [edge for edge in edges(graph) if not edge.always]
    above = ancestors(graph.tasks)
    for task in graph.tasks:
        into = [edge for edge in found if edge.target == task.name]
        assert into
        sources = {edge.source for edge in into if edge.source is not None}
        assert sources.union(*(above[name] for name in sources)) == above[task.name]
        assert sorted(say(one) for edge in into for one in edge.conditions) == sorted(
            say(one) for one in task.when
        )


@given(graph=graphs())
def test_mermaid_is_read_back_whatever_the_texts(graph: Graph) -> None:
    nodes, arrows = read_mermaid(to_mermaid(graph))
    assert len(nodes) == len(graph.tasks) + 1 + (graph.exit_task is not None)
    said = [
        (edge.source or "g", "always" if edge.always else " and ".join(map(say, edge.conditions)))
        for edge in edges(graph)
    ]
    assert [arrow[:2] for arrow in arrows] == said


def test_a_negated_condition_is_said() -> None:
    item = Comparison(
        ParameterRef("p"), Operator.LESS, Constant("0.5"), ParameterType.DOUBLE, negated=True
    )
    assert say(item) == "not (p < 0.5)"


def test_the_command_takes_source_and_ir() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coalmine", "graph", "pipelines/release.py", "-o", "mermaid"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == to_mermaid(read_graph(RELEASE))


def test_the_command_writes_text_unless_told(coalmine: Coalmine) -> None:
    assert coalmine("graph", RELEASE).stdout == to_text(read_graph(RELEASE))


@pytest.mark.parametrize("name", ["absent.yaml", "absent.py", "README.md"])
def test_wrong_input_exits_2(coalmine: Coalmine, name: str) -> None:
    done = coalmine("graph", name)
    assert done.returncode == 2
    assert name in done.stderr
    assert "fix:" in done.stderr
    assert not done.stdout


def read_svg(text: str) -> tuple[dict[str, tuple[float, ...]], list[str], int]:
    """Give the box of each word in a box, the words beside boxes, and how many arrows there are."""
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    boxes = [
        tuple(float(item.get(key, "")) for key in ("x", "y", "width", "height"))
        for item in root.iter(f"{space}rect")
        if item.get("x")
    ]
    inside, beside = {}, []
    for item in root.iter(f"{space}text"):
        x, y = float(item.get("x", "")), float(item.get("y", ""))
        around = [b for b in boxes if b[0] < x < b[0] + b[2] and b[1] < y < b[1] + b[3]]
        if around:
            inside[item.text or ""] = around[0]
        else:
            beside.append(item.text or "")
    arrows = [item for item in root.iter(f"{space}path") if item.get("marker-end")]
    return inside, beside, len(arrows)


def test_release_as_svg() -> None:
    inside, beside, arrows = read_svg(to_svg(read_graph(RELEASE)))
    assert set(inside) == TASKS | {"release"}
    assert beside == ['gate.verdict == "promote"', 'gate.verdict != "promote"', "always"]
    assert arrows == len(edges(read_graph(RELEASE)))
    assert inside["gate"][1] < inside["promote"][1] == inside["rollback"][1] < inside["finalize"][1]


@given(graph=graphs())
def test_svg_is_sound_whatever_the_texts(graph: Graph) -> None:
    inside, _, arrows = read_svg(to_svg(graph))
    assert len(inside) == len(graph.tasks) + 1 + (graph.exit_task is not None)
    assert arrows == len(edges(graph))
    for one, other in itertools.combinations(inside.values(), 2):
        assert one[0] + one[2] < other[0] or other[0] + other[2] < one[0] or one[1] != other[1]
    for edge in edges(graph):
        assert inside[edge.source or graph.name][1] < inside[edge.target][1]
