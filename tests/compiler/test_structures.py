"""Concatenated and conditional arguments, held against what ``kfp.local`` makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.compiler.ir import read_graph
from coalmine.compiler.ir.structures import Structures
from coalmine.compiler.piece import InputRef, OutputPath, Part
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant

literals = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
chosen = st.recursive(
    literals,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3).map(lambda items: {"Concat": items}),
        st.tuples(st.sampled_from("ab"), parts, parts).map(
            lambda of: {"IfPresent": {"InputName": of[0], "Then": of[1], "Else": of[2]}}
        ),
        st.tuples(st.sampled_from("ab"), parts).map(
            lambda of: {"IfPresent": {"InputName": of[0], "Then": of[1]}}
        ),
    ),
    max_leaves=8,
)
many = st.tuples(st.sampled_from("ab"), st.lists(chosen, max_size=3)).map(
    lambda of: {"IfPresent": {"InputName": of[0], "Then": of[1], "Else": of[1][:1]}}
)


@given(item=(chosen | many).filter(lambda item: isinstance(item, dict)))
@pytest.mark.parametrize("present", [[], ["a"], ["a", "b"]])
def test_structures_mean_what_kfp_local_says(item: dict[str, Any], present: list[str]) -> None:
    from kfp.local import placeholder_utils  # noqa: PLC0415 - only who runs this waits for it

    text = json.dumps(item)
    found = placeholder_utils.resolve_struct_placeholders(text, present)
    wanted = placeholder_utils.flatten_list([found])
    assert Structures("ab", present, "t").resolve(["first", text]) == ["first", *wanted]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"Concat": ["a"', "Expecting"),
        ('{"Concat": "a"}', "no known structure"),
        ('{"Concat": [1]}', "no known structure"),
        ('{"Concat": ["a"], "IfPresent": {}}', "no known structure"),
        ('{"IfPresent": {"InputName": "a"}}', "no known structure"),
        ('{"IfPresent": {"InputName": "a", "Then": [], "Otherwise": []}}', "no known structure"),
        ('{"Concat": [{"IfPresent": {"InputName": "a", "Then": ["x"]}}]}', "a list within"),
        ('{"IfPresent": {"InputName": "ghost", "Then": []}}', "'ghost' is present"),
        ('{"Concat": ' + "[" * 100_000, "recursion"),
    ],
)
def test_malformed_structures_name_the_task(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        Structures("ab", "a", "t").resolve([text])
    assert "task 't'" in caught.value.message
    assert caught.value.fix


def values_of(task: Task) -> dict[str, str]:
    values = {item.name: item.default or "" for item in task.inputs}
    given = {name: of.value if isinstance(of, Constant) else str(of) for name, of in task.arguments}
    return values | given


def filled(task: Task) -> list[str]:
    """Write a task's arguments with its inputs' values in them."""

    def text(part: Part) -> str:
        match part:
            case InputRef(name):
                return values_of(task)[name]
            case OutputPath(name):
                return f"<path {name}>"
            case _:
                return str(part)

    return ["".join(text(part) for part in piece) for piece in (*task.command, *task.args)]


def test_arguments_are_those_of_kfp_local(corpus: Path) -> None:
    from kfp.local import placeholder_utils  # noqa: PLC0415 - as above

    path = corpus / "structures.yaml"
    ir = next(iter(yaml.safe_load_all(path.read_text())))
    container = ir["deploymentSpec"]["executors"]["exec-structured"]["container"]
    outputs = {"outputFile": "", "parameters": {"out": {"outputFile": "<path out>"}}}
    tasks = read_graph(path).tasks
    assert len(tasks) == 5
    for task in tasks:
        resolved = placeholder_utils.replace_placeholders(
            [*container["command"], *container["args"]],
            {"inputs": {"parameterValues": values_of(task)}, "outputs": outputs},
            *("pipeline", "task", "root", "id"),
        )
        assert filled(task) == resolved


def test_absent_inputs_are_gone(corpus: Path) -> None:
    tasks = {task.name: task for task in read_graph(corpus / "structures.yaml").tasks}
    names = {name: {item.name for item in task.inputs} for name, task in tasks.items()}
    assert names["structured"] == {"ready", "text"}
    assert names["structured-2"] == {"count", "extra", "ready", "text"}
    assert names["inside-structured"] == {"ready", "text"}
    assert names["inside-2-structured"] == {"extra", "ready", "text"}
