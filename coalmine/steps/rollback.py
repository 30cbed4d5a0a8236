"""Take the canary away."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from coalmine.steps.contract import Step, Surroundings, given, optional
from coalmine.steps.settings import namespace_setting, serving_setting
from coalmine.steps.wiring import log_routed, outcome_of, serving_backend

__all__ = ["STEP", "Inputs", "Outputs", "run"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the step takes."""

    release_id: str = given("The release that owns the service.")
    service: str = given("What users call.")
    reason: str = optional("Why, for the log.")
    serving: str = serving_setting()
    namespace: str = namespace_setting()


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the step gives."""

    outcome: str
    """``rolled_back``; ``removed`` if the canary had no traffic yet; ``promoted`` if it is stable
    by now; ``unchanged`` if the release does not own the service."""


def run(inputs: Inputs, surroundings: Surroundings) -> Outputs:
    """Give the stable version all traffic again, and let the canary drain and stop."""
    backend = serving_backend(inputs.serving, surroundings, namespace=inputs.namespace)
    logger.info("rolling back", extra={"service": inputs.service, "reason": inputs.reason})
    record = backend.rollback(service=inputs.service, release_id=inputs.release_id)
    if record:
        log_routed(backend, inputs.service)
    return Outputs(outcome_of(record))


STEP = Step(
    name="rollback",
    summary="Give the stable version all traffic again and stop the canary.",
    inputs=Inputs,
    outputs=Outputs,
    run=run,
)
