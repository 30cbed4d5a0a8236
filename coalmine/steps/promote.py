"""Make the canary the stable version."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.steps.contract import Step, Surroundings, given
from coalmine.steps.settings import namespace_setting, serving_setting
from coalmine.steps.wiring import log_routed, outcome_of, serving_backend

__all__ = ["STEP", "Inputs", "Outputs", "run"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the step takes."""

    release_id: str = given("The release that owns the service.")
    service: str = given("What users call.")
    serving: str = serving_setting()
    namespace: str = namespace_setting()


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the step gives."""

    outcome: str
    """``promoted``."""


def run(inputs: Inputs, surroundings: Surroundings) -> Outputs:
    """Give the canary all traffic, and let the old version drain and stop."""
    backend = serving_backend(inputs.serving, surroundings, namespace=inputs.namespace)
    record = backend.promote(service=inputs.service, release_id=inputs.release_id)
    log_routed(backend, inputs.service)
    return Outputs(outcome_of(record))


STEP = Step(
    name="promote",
    summary="Give the canary all traffic and stop the old version.",
    inputs=Inputs,
    outputs=Outputs,
    run=run,
)
