from __future__ import annotations

import importlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.steps.contract import (
    STEPS,
    Step,
    default_of,
    input_fields,
    kind_of,
    output_fields,
)

ROOT = Path(__file__).parent.parent.parent
COMPONENTS = ROOT / "components"
TYPES = {"str": "String", "int": "Integer", "float": "Float"}


@cache
def spec_of(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((COMPONENTS / name / "component.yaml").read_text())
    return spec


def step_of(name: str) -> Step[Any, Any]:
    try:
        module = importlib.import_module(STEPS[name])
    except ModuleNotFoundError as error:
        if error.name != STEPS[name]:
            raise
        pytest.skip(f"{STEPS[name]} is not there")
    step: Step[Any, Any] = module.STEP
    return step


def test_every_step_has_a_component() -> None:
    assert {path.parent.name for path in COMPONENTS.glob("*/component.yaml")} == set(STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_the_component_is_the_steps_face(name: str) -> None:
    spec, step = spec_of(name), step_of(name)
    inputs = [
        (item["name"], item["type"], item.get("default"), item.get("optional", False))
        for item in spec["inputs"]
    ]
    assert inputs == [
        (field.name, TYPES[str(field.type)], default_of(field), default_of(field) is not None)
        for field in input_fields(step)
    ]
    outputs = [(item["name"], item["type"]) for item in spec["outputs"]]
    assert outputs == [(field.name, kind_of(field) or "String") for field in output_fields(step)]


@pytest.mark.parametrize("name", STEPS)
def test_the_command_line_gives_every_input_and_output(name: str) -> None:
    spec = spec_of(name)
    container = spec["implementation"]["container"]
    assert container["image"] == "ghcr.io/coalmine-dev/coalmine:0.1.0"
    assert container["command"] == ["coalmine", "step", name]
    expected: list[object] = []
    for item in spec["inputs"]:
        expected += [f"--{item['name'].replace('_', '-')}", {"inputValue": item["name"]}]
    for item in spec["outputs"]:
        expected += [f"--{item['name'].replace('_', '-')}-path", {"outputPath": item["name"]}]
    assert container["args"] == expected


@pytest.mark.parametrize("name", STEPS)
def test_the_readme_tells_every_input_and_output(name: str) -> None:
    text = (COMPONENTS / name / "README.md").read_text()
    spec = spec_of(name)
    assert text.startswith(f"# {name}\n\n{spec['description']}\n")
    for item in [*spec["inputs"], *spec["outputs"]]:
        assert f"| `{item['name']}` |" in text
        assert item["description"] in text
    assert f"    coalmine step {name} " in text


LOAD = """
import json, sys
from pathlib import Path
from kfp import components
found = {}
for path in sorted(Path(sys.argv[1]).glob("*/component.yaml")):
    spec = components.load_component_from_file(str(path)).component_spec
    found[spec.name] = {
        "inputs": {
            key: [item.type, item.default, item.optional] for key, item in spec.inputs.items()
        },
        "outputs": {key: item.type for key, item in spec.outputs.items()},
    }
print(json.dumps(found))
"""


def test_kfp_2_loads_every_component() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, COMPONENTS],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = json.loads(done.stdout)
    assert set(found) == set(STEPS)
    for name, loaded in found.items():
        spec = spec_of(name)
        assert list(loaded["inputs"]) == [item["name"] for item in spec["inputs"]]
        assert list(loaded["outputs"]) == [item["name"] for item in spec["outputs"]]
        for item in spec["inputs"]:
            kind, default, optional = loaded["inputs"][item["name"]]
            assert (kind, optional) == (item["type"], "default" in item)
            assert str(default) == item.get("default", "None")
