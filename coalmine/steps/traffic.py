"""Give a canary that was judged well another share of the traffic."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.steps.contract import Step, Surroundings, given
from coalmine.steps.settings import namespace_setting, serving_setting
from coalmine.steps.wiring import log_routed, rfc3339, serving_backend

__all__ = ["STEP", "Inputs", "Outputs", "run"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the step takes."""

    release_id: str = given("The release that owns the service.")
    service: str = given("What users call.")
    percent: int = given("The canary's share of the traffic from now on, 1 to 99.")
    serving: str = serving_setting()
    namespace: str = namespace_setting()


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the step gives."""

    since: str
    """When the canary first had this share, RFC 3339, UTC."""


def run(inputs: Inputs, surroundings: Surroundings) -> Outputs:
    """Change the canary's share, and see that it has it."""
    backend = serving_backend(inputs.serving, surroundings, namespace=inputs.namespace)
    record = backend.set_traffic(
        service=inputs.service, percent=inputs.percent, release_id=inputs.release_id
    )
    log_routed(backend, inputs.service)
    return Outputs(rfc3339(record.canary_since))


STEP = Step(
    name="traffic",
    summary="Give the canary another share of the traffic.",
    inputs=Inputs,
    outputs=Outputs,
    run=run,
)
