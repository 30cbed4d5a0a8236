from __future__ import annotations

from dataclasses import fields, is_dataclass
from importlib.util import find_spec

import pytest

from coalmine.steps.contract import STEPS, load_step

PRESENT = [name for name, module in STEPS.items() if find_spec(module)]


@pytest.mark.parametrize("name", PRESENT)
def test_every_step_keeps_the_contract(name: str) -> None:
    step = load_step(name)
    assert step.name == name
    assert step.summary.endswith(".")
    assert is_dataclass(step.inputs)
    assert is_dataclass(step.outputs)
    assert {spec.type for spec in fields(step.inputs)} <= {"str", "int", "float"}
    assert {spec.type for spec in fields(step.outputs)} == {"str"}
    assert all(spec.metadata.get("help") for spec in fields(step.inputs))


@pytest.mark.parametrize("name", PRESENT)
def test_inputs_and_outputs_have_different_names(name: str) -> None:
    step = load_step(name)
    paths = {f"{spec.name}_path" for spec in fields(step.outputs)}
    assert paths.isdisjoint(spec.name for spec in fields(step.inputs))
