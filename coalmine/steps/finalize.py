"""See that no canary outlives its run."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.steps.contract import Step, Surroundings, given
from coalmine.steps.settings import namespace_setting, serving_setting
from coalmine.steps.wiring import log_routed, outcome_of, serving_backend

__all__ = ["STEP", "Inputs", "Outputs", "run"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the step takes."""

    release_id: str = given("The release whose run has ended.")
    service: str = given("What users call.")
    serving: str = serving_setting()
    namespace: str = namespace_setting()


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the step gives."""

    outcome: str
    """``promoted``, ``rolled_back``, ``removed`` or ``unchanged``."""


def run(inputs: Inputs, surroundings: Surroundings) -> Outputs:
    """Take the canary away unless it was promoted, by the serving record alone."""
    backend = serving_backend(inputs.serving, surroundings, namespace=inputs.namespace)
    record = backend.rollback(service=inputs.service, release_id=inputs.release_id)
    if record:
        log_routed(backend, inputs.service)
    return Outputs(outcome_of(record))


STEP = Step(
    name="finalize",
    summary="Take the canary away if the run ended, however it ended, without a promotion.",
    inputs=Inputs,
    outputs=Outputs,
    run=run,
)
