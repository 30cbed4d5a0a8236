"""The policy file's fields, as pydantic checks them. Times become seconds."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from coalmine.gate.comparison import (
    Comparison,
    SlowerThan,
    Undecided,
    compare_query,
    latency_query,
)
from coalmine.gate.duration import format_duration, parse_duration
from coalmine.gate.model import Check, FailAfter, NoData, OnInconclusive, Policy
from coalmine.gate.presets import BUCKETS, COUNTERS, PRESETS, REQUEST_COUNTERS
from coalmine.gate.template import check_template

__all__ = ["PolicyFile"]

MOST_SAMPLES = 10_000
"""Prometheus gives at most 11 000 points a series in one answer."""
NAME = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?")


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value) or len(value) > 63:  # noqa: PLR2004
        raise ValueError(
            "a name is 1 to 63 small letters, digits, '-' and '_', "
            "with a letter or digit at either end"
        )
    return value


def _query(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a query is a PromQL expression in a string")
    check_template(value)
    return value.strip()


def _counter(value: object) -> str:
    if not isinstance(value, str) or "${revision}" not in value:
        raise ValueError(
            "the counters of a revision are PromQL in a string that names it "
            'as "${revision}", which is the canary and then stable'
        )
    check_template(value.replace("${revision}", "${canary}"))
    return value.strip()


Counter = Annotated[str, BeforeValidator(_counter)]
Name = Annotated[str, BeforeValidator(_name)]
Query = Annotated[str, BeforeValidator(_query)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
Quantile = Annotated[float, Field(strict=True, gt=0, lt=1)]
Slower = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(strict=True, gt=0, le=0.5)]
Count = Annotated[int, Field(strict=True, ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _FailAfter(_Part):
    consecutive: Count | None = None
    total: Count | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.consecutive is None and self.total is None:
            raise ValueError("says nothing; give consecutive, total or both")
        return self


class _Requests(_Part):
    preset: str | None = None
    query: Query | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.preset is None) == (self.query is None):
            raise ValueError("requests has either a preset or a query; give one of them")
        if self.preset is not None and self.preset not in REQUEST_COUNTERS:
            known = ", ".join(REQUEST_COUNTERS)
            raise ValueError(f"{self.preset!r} is no preset of requests; known are {known}")
        return self

    def made(self) -> str:
        return self.query or REQUEST_COUNTERS[self.preset or ""]


class _Compare(_Part):
    preset: str | None = None
    bad: Counter | None = None
    total: Counter | None = None
    bucket: Counter | None = None
    margin: Share | None = None
    quantile: Quantile | None = None
    slower: Slower | None = None
    false_rollback: Probability = 0.05
    false_promotion: Probability = 0.05
    undecided: Undecided = Undecided.ESTIMATE
    early_pass: Annotated[bool, Field(strict=True)] = True

    @property
    def of_latency(self) -> bool:
        return self.bucket is not None or self.preset in BUCKETS

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.bad is None) != (self.total is None):
            raise ValueError("bad and total belong together; give both")
        given = [self.preset, self.bad, self.bucket]
        if sum(one is not None for one in given) != 1:
            raise ValueError(
                "a comparison has either a preset, or bad and total, or bucket; give one of them"
            )
        if self.preset is not None and self.preset not in {**COUNTERS, **BUCKETS}:
            known = ", ".join([*COUNTERS, *BUCKETS])
            raise ValueError(f"{self.preset!r} is no preset of a comparison; known are {known}")
        return self

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        if self.of_latency and (self.quantile is None or self.slower is None):
            raise ValueError("a comparison of latency needs quantile and slower; give both")
        if self.of_latency and self.margin is not None:
            raise ValueError("a comparison of latency takes no margin; slower says how much")
        if not self.of_latency and self.margin is None:
            raise ValueError("a comparison of ratios needs a margin; add it")
        if not self.of_latency and not (self.quantile is None and self.slower is None):
            raise ValueError("quantile and slower are for comparisons of latency; remove them")
        return self

    def query(self) -> str:
        if self.of_latency:
            return latency_query(self.bucket or BUCKETS[self.preset or ""])
        preset = COUNTERS.get(self.preset or "")
        if preset:
            return compare_query(preset.bad, preset.total)
        return compare_query(self.bad or "", self.total or "")

    def made(self) -> Comparison:
        slow = None if self.slower is None else SlowerThan(self.quantile or 0.0, self.slower)
        return Comparison(
            margin=self.margin or 0.0,
            false_rollback=self.false_rollback,
            false_promotion=self.false_promotion,
            undecided=self.undecided,
            early_pass=self.early_pass,
            slower=slow,
        )


THRESHOLD_ONLY = ("min", "max", "fail_after", "no_data", "over")


class _Check(_Part):
    name: Name
    preset: str | None = None
    query: Query | None = None
    compare: _Compare | None = None
    min: Number | None = None
    max: Number | None = None
    fail_after: _FailAfter | None = None
    no_data: NoData | None = None
    over: Seconds | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = [self.preset, self.query, self.compare]
        if sum(one is not None for one in given) != 1:
            raise ValueError("a check has either a preset or a query or compare; give one of them")
        if self.compare is not None:
            return self._is_comparison()
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"{self.preset!r} is no preset; known are {', '.join(PRESETS)}")
        if self.min is None and self.max is None:
            raise ValueError("a check without a threshold judges nothing; give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max, so no value could be good")
        if self.over is not None and self.over <= 0:
            raise ValueError("over must be longer than nothing")
        return self

    def _is_comparison(self) -> Self:
        strange = [name for name in THRESHOLD_ONLY if getattr(self, name) is not None]
        if strange:
            raise ValueError(f"a check with compare takes no {strange[0]}; remove it")
        return self

    def made(self, no_data: NoData, window: float) -> Check:
        """Give what it says; ``no_data`` and ``window`` are those of the policy."""
        return self._compared(window) if self.compare else self._held(no_data, window)

    def _compared(self, window: float) -> Check:
        assert self.compare is not None
        return Check(
            name=self.name,
            query=self.compare.query(),
            minimum=None,
            maximum=None,
            fail_after=FailAfter(),
            no_data=NoData.WAIT,
            over=window,
            preset=self.compare.preset or "",
            unit="ratio",
            compare=self.compare.made(),
        )

    def _held(self, no_data: NoData, window: float) -> Check:
        preset = PRESETS.get(self.preset or "")
        limits = self.fail_after.model_dump() if self.fail_after else {}
        return Check(
            name=self.name,
            query=preset.query if preset else self.query or "",
            minimum=self.min,
            maximum=self.max,
            fail_after=FailAfter(**limits),
            no_data=self.no_data or no_data,
            over=self.over or window,
            preset=self.preset or "",
            unit=preset.unit if preset else "",
        )


class _Spec(_Part):
    window: Seconds
    step: Seconds
    delay: Seconds = 0.0
    timeout: Seconds
    min_requests: Count
    coverage: Annotated[float, Field(strict=True, gt=0, le=1)]
    no_data: NoData
    checks: Annotated[tuple[_Check, ...], Field(min_length=1)]
    on_inconclusive: OnInconclusive = OnInconclusive.INCONCLUSIVE
    requests: _Requests = _Requests(preset="envoy")

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.step < 1:
            raise ValueError("step must be at least 1s")
        if self.window < self.step:
            raise ValueError("window must be at least as long as step")
        if self.timeout < self.delay + self.window:
            least = format_duration(self.delay + self.window)
            raise ValueError(f"timeout must be at least delay and window together, {least}")
        if self.timeout / self.step > MOST_SAMPLES:
            raise ValueError(f"timeout must be at most {MOST_SAMPLES} steps; give a longer step")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [check.name for check in self.checks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two checks are named {', '.join(twice)}")
        return self


class _Metadata(_Part):
    name: Name


class PolicyFile(_Part):
    """The whole file."""

    apiVersion: Literal["coalmine.dev/v1"]  # noqa: N815 - Kubernetes' own word
    kind: Literal["GatePolicy"]
    metadata: _Metadata
    spec: _Spec

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
        )
