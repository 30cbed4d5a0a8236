"""The policy file's fields, as pydantic checks them. Times become seconds."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from coalmine.gate.baseline import LEAST_POINTS
from coalmine.gate.checkfields import CheckFields
from coalmine.gate.duration import format_duration
from coalmine.gate.evidence import steps_until, steps_within
from coalmine.gate.fields import Count, MisfitError, Name, Part, Query, Seconds, known, one_of
from coalmine.gate.model import NoData, OnInconclusive, Policy
from coalmine.gate.presets import REQUEST_COUNTERS

__all__ = ["PolicyFile", "policy_schema"]

MOST_SAMPLES = 10_000
"""Prometheus gives at most 11 000 points a series in one answer."""


class RequestsFields(Part):
    """The counter of the canary's answered requests."""

    model_config = one_of("preset", "query")

    preset: Annotated[str, known(*REQUEST_COUNTERS)] | None = None
    """A counter that need not be written."""
    query: Query | None = None
    """PromQL for the counter; several series are added up."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.preset is None) == (self.query is None):
            raise ValueError("requests has either a preset or a query; give one of them")
        if self.preset is not None and self.preset not in REQUEST_COUNTERS:
            known = ", ".join(REQUEST_COUNTERS)
            raise MisfitError(
                f"{self.preset!r} is no preset of requests; write one of {known}", "preset"
            )
        return self

    def made(self) -> str:
        """Give the query."""
        return self.query or REQUEST_COUNTERS[self.preset or ""]


class SpecFields(Part):
    """What the policy says."""

    window: Seconds
    """How long every check has to pass."""
    step: Seconds
    """The time between two samples; at least 1s."""
    delay: Annotated[Seconds, Field(json_schema_extra={"default": "0s"})] = 0.0
    """How long the canary warms up before its samples count."""
    timeout: Seconds
    """When to stop waiting for evidence, counted from the canary's start."""
    min_requests: Count
    """The fewest requests the canary must have answered."""
    coverage: Annotated[float, Field(strict=True, gt=0, le=1)]
    """The part of the window's samples that must be there."""
    no_data: NoData
    """What a missing sample means: fail, wait or pass."""
    checks: Annotated[tuple[CheckFields, ...], Field(min_length=1)]
    """What is judged."""
    on_inconclusive: OnInconclusive = OnInconclusive.INCONCLUSIVE
    """What to do where the evidence did not come in time; hold waits for a person."""
    hold: Seconds | None = None
    """How long to wait for a person; needed with on_inconclusive: hold."""
    requests: RequestsFields = RequestsFields(preset="envoy")
    """The counter behind min_requests."""

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.step < 1:
            raise MisfitError("is shorter than 1s; write 1s or more", "step")
        if self.window < self.step:
            raise MisfitError(
                f"is shorter than step; write {format_duration(self.step)} or more", "window"
            )
        if self.timeout < self.delay + self.window:
            least = format_duration(self.delay + self.window)
            raise MisfitError(
                f"is shorter than delay and window together; write {least} or more", "timeout"
            )
        first, window = steps_until(self.delay, self.step), steps_within(self.window, self.step)
        if steps_within(self.timeout, self.step) < first + window:
            least = format_duration((first + window) * self.step)
            raise MisfitError(
                f"ends before a window of whole steps; write {least} or more", "timeout"
            )
        if (self.timeout + (self.hold or 0)) / self.step > MOST_SAMPLES:
            longer = math.ceil((self.timeout + (self.hold or 0)) / MOST_SAMPLES)
            raise MisfitError(
                f"timeout and hold are more than {MOST_SAMPLES} steps; "
                f"write {format_duration(longer)} or more",
                "step",
            )
        return self

    @model_validator(mode="after")
    def _somebody_is_asked(self) -> Self:
        held = self.on_inconclusive is OnInconclusive.HOLD
        if held and not self.hold:
            raise MisfitError(
                "hold needs to know for how long; add hold beside it, such as hold: 1h",
                "on_inconclusive",
            )
        if self.hold is not None and not held:
            raise MisfitError("goes with on_inconclusive: hold; add that or remove it", "hold")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [check.name for check in self.checks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            second = len(names) - 1 - names[::-1].index(twice[0])
            raise MisfitError(
                f"two checks are named {twice[0]}; write another name", "checks", second, "name"
            )
        return self

    @model_validator(mode="after")
    def _baselines_have_points(self) -> Self:
        short = [check.name for check in self.checks if check.baseline]
        if short and self.window / self.step < LEAST_POINTS:
            least = format_duration(LEAST_POINTS * self.step)
            raise MisfitError(
                f"is less than {LEAST_POINTS} steps, which the baseline {short[0]} needs; "
                f"write {least} or more",
                "window",
            )
        return self

    @model_validator(mode="after")
    def _something_decides(self) -> Self:
        if all(check.advisory for check in self.checks):
            raise MisfitError(
                "every check is advisory, so none decides; remove advisory from one", "checks"
            )
        return self


class MetadataFields(Part):
    """What the policy is called."""

    name: Name
    """For people."""


class PolicyFile(Part):
    """How a gate of Coalmine judges a canary."""

    apiVersion: Literal["coalmine.dev/v1"]  # noqa: N815 - Kubernetes' own word
    kind: Literal["GatePolicy"]
    metadata: MetadataFields
    spec: SpecFields

    def policy(self) -> Policy:
        """Give what the file says."""
        spec = self.spec
        return Policy(
            name=self.metadata.name,
            window=spec.window,
            step=spec.step,
            delay=spec.delay,
            timeout=spec.timeout,
            min_requests=spec.min_requests,
            coverage=spec.coverage,
            checks=tuple(check.made(spec.no_data, spec.window) for check in spec.checks),
            on_inconclusive=spec.on_inconclusive,
            requests=spec.requests.made(),
            hold=spec.hold or 0.0,
        )


def policy_schema() -> dict[str, Any]:
    """Give the JSON schema of a policy file, for editors.

    It knows every field and kind of value; what holds between fields, such as a window that is not
    longer than the timeout, only reading the file tells.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PolicyFile.model_json_schema(),
    }
