"""Give a new version a small share of a service's traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from coalmine.steps.contract import Step, Surroundings, given, optional
from coalmine.steps.wiring import log_routed, serving_backend

__all__ = ["STEP", "Inputs", "Outputs", "run"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the step takes."""

    release_id: str = given("The release that will own the service.")
    service: str = given("What users call.")
    image: str = given("The canary's image, by digest.")
    version: str = given("The bento's version.")
    percent: int = optional("The canary's share of the traffic, 1 to 99.", 10)
    policy: str = optional("The gate's policy file, to be checked before traffic moves.")
    serving: str = optional("The serving backend: local.")
    prometheus_url: str = optional("Where Prometheus answers, to be checked before traffic moves.")


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the step gives."""

    canary: str
    """Revision name of the canary."""
    stable: str
    """Revision name of the stable version; empty on a first release."""
    since: str
    """When the canary first had its share, RFC 3339, UTC."""


def run(inputs: Inputs, surroundings: Surroundings) -> Outputs:
    """Start the canary, wait until it answers, and see that it has its share."""
    # The gate's preflight (policy and Prometheus) belongs here, before anything is started.
    backend = serving_backend(inputs.serving, surroundings)
    record = backend.apply_canary(
        service=inputs.service,
        image=inputs.image,
        version=inputs.version,
        percent=inputs.percent,
        release_id=inputs.release_id,
    )
    log_routed(backend, inputs.service)
    return Outputs(record.canary, record.stable, _rfc3339(record.canary_since))


def _rfc3339(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


STEP = Step(
    name="canary",
    summary="Start a new version beside the stable one and give it its share of the traffic.",
    inputs=Inputs,
    outputs=Outputs,
    run=run,
)
