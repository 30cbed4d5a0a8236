"""Give a new version a small share of a service's traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coalmine._base.errors import InputError
from coalmine.serving.protocol import ServingBackend
from coalmine.steps.contract import Step, Surroundings, given, optional
from coalmine.steps.settings import serving_setting
from coalmine.steps.wiring import log_routed, prometheus_of, rfc3339, serving_backend

if TYPE_CHECKING:
    from coalmine.serving.flagger.analysis import Analysis

__all__ = ["STEP", "Inputs", "Outputs", "run"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the step takes."""

    release_id: str = given("The release that will own the service.")
    service: str = given("What users call.")
    image: str = given("The canary's image, by digest.")
    version: str = given("The bento's version.")
    percent: int = optional("The canary's share of the traffic, 1 to 99.", 10)
    policy: str = optional(
        "The gate's policy file, to be checked before traffic moves.", setting=True
    )
    serving: str = serving_setting()
    prometheus_url: str = optional(
        "Where Prometheus answers, to be checked before traffic moves.", setting=True
    )
    namespace: str = optional(
        "Kubernetes namespace of the service; policies may use it as ${namespace}.", setting=True
    )
    template: str = optional(
        "File that a service on Kubernetes is made from on its first release.", setting=True
    )
    probe: str = optional(
        "The prediction that a canary on Kubernetes must answer before it gets traffic, PATH JSON; "
        "the bento's own example if empty.",
        setting=True,
    )
    preview: str = optional(
        "Value of the header x-coalmine-preview that leads to a canary; local and gateway only.",
        setting=True,
    )
    mirror: str = optional(
        "Requests of which a canary gets a copy before its share, PERCENT METHODS SECONDSs, such "
        "as 10 POST 60s; local and gateway only.",
        setting=True,
    )
    on_crash: str = optional(
        "What becomes of a canary whose server ends, rollback or restart; local only.",
        setting=True,
    )
    container: str = optional(
        "Container or init container of the Deployment whose image is released, by Flagger; the "
        "first container if empty.",
        setting=True,
    )
    force_takeover: str = optional(
        "true takes the service from a release that has not ended; on Kubernetes only."
    )


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
    analysis = _analysis(inputs)
    backend = serving_backend(
        inputs.serving,
        surroundings,
        namespace=inputs.namespace,
        template=inputs.template,
        probe=inputs.probe,
        force=_is_true(inputs.force_takeover),
        preview=inputs.preview,
        mirror=inputs.mirror,
        on_crash=inputs.on_crash,
        container=inputs.container,
        analysis=analysis,
    )
    if analysis is None:
        _see_that_it_can_be_judged(inputs, surroundings, backend)
    record = backend.apply_canary(
        service=inputs.service,
        image=inputs.image,
        version=inputs.version,
        percent=inputs.percent,
        release_id=inputs.release_id,
    )
    log_routed(backend, inputs.service)
    return Outputs(record.canary, record.stable, rfc3339(record.canary_since))


def _analysis(inputs: Inputs) -> Analysis | None:
    """Say the policy in Flagger's words, where Flagger is to judge, and try its queries."""
    if inputs.serving != "flagger":
        return None
    from coalmine.gate.policy import THRESHOLDS, load_policy  # noqa: PLC0415 - quick `step --help`
    from coalmine.gate.preflight import preflight_plan  # noqa: PLC0415
    from coalmine.metrics.prometheus import PrometheusSource  # noqa: PLC0415
    from coalmine.steps.flagger import analysis_of, plan_of  # noqa: PLC0415

    plan = plan_of(load_policy(inputs.policy or THRESHOLDS), inputs.service, inputs.namespace)
    analysis = analysis_of(plan, inputs.prometheus_url, inputs.percent)
    asked = {measure.name: measure.query for measure in analysis.measures}
    with PrometheusSource(inputs.prometheus_url) as source:
        preflight_plan(replace(plan, queries=asked), source)
    return analysis


def _is_true(text: str) -> bool:
    if text not in {"", "true", "false"}:
        raise InputError(f"{text!r} is neither", field="--force-takeover", fix="give true or false")
    return text == "true"


def _see_that_it_can_be_judged(
    inputs: Inputs, surroundings: Surroundings, backend: ServingBackend
) -> None:
    """Refuse a policy that the gate could not judge by, before anything is started for it."""
    from coalmine.gate.policy import load_policy  # noqa: PLC0415 - keeps `step --help` quick
    from coalmine.gate.preflight import preflight  # noqa: PLC0415
    from coalmine.metrics.prometheus import PrometheusSource  # noqa: PLC0415

    if not inputs.policy and inputs.serving not in ("", "local"):
        raise InputError(
            "is not given, and the default one reads the series of the Envoy on this machine",
            field="policy",
            fix="give one that reads your cluster's, such as deploy/kserve/policy.yaml",
        )
    policy = load_policy(inputs.policy)
    canary = f"{inputs.service}-{inputs.release_id}"
    revisions = [share.revision for share in backend.observe(inputs.service).shares]
    stable = next((revision for revision in revisions if revision != canary), "")
    names = {"service": inputs.service, "canary": canary, "stable": stable}
    names["namespace"] = inputs.namespace
    url = prometheus_of(inputs.prometheus_url, inputs.serving, surroundings)
    with PrometheusSource(url) as source:
        preflight(policy, source, names)


STEP = Step(
    name="canary",
    summary="Start a new version beside the stable one and give it its share of the traffic.",
    inputs=Inputs,
    outputs=Outputs,
    run=run,
)
