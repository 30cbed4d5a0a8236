"""The fields of a check that holds the canary against stable, as pydantic reads them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from coalmine.gate.baseline import Baseline, Direction
from coalmine.gate.comparison import (
    Comparison,
    SlowerThan,
    Undecided,
    compare_query,
    latency_query,
)
from coalmine.gate.fields import (
    Confidence,
    Counter,
    MisfitError,
    Part,
    Probability,
    Quantile,
    Share,
    Slower,
    known,
)
from coalmine.gate.presets import BUCKETS, COUNTERS

__all__ = ["BaselineFields", "CompareFields"]


class CompareFields(Part):
    """The canary against stable in the same time, by a sequential test."""

    preset: Annotated[str, known(*COUNTERS, *BUCKETS)] | None = None
    """Counters or buckets that need not be written."""
    bad: Counter | None = None
    """Counters of a revision's bad answers."""
    total: Counter | None = None
    """Counters of all its answers."""
    bucket: Counter | None = None
    """Buckets of the histogram of its answers' duration."""
    margin: Share | None = None
    """How much above stable's the canary's ratio may be; 0.005 is half a percentage point."""
    quantile: Quantile | None = None
    """Where durations are compared, such as 0.95."""
    slower: Slower | None = None
    """How much slower the canary may be; 0.2 is a fifth."""
    false_rollback: Probability = 0.05
    """The highest probability of a roll-back of a canary within the margin."""
    false_promotion: Probability = 0.05
    """The highest probability of an early pass of a canary beyond the margin."""
    undecided: Undecided = Undecided.TEST
    """What counts at the window's end while nothing is established."""
    early_pass: Annotated[bool, Field(strict=True)] = True
    """Whether the check can pass before the window is over."""

    @property
    def of_latency(self) -> bool:
        """Tell whether durations are compared."""
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
            raise MisfitError(
                f"{self.preset!r} is no preset of a comparison; write one of {known}", "preset"
            )
        return self

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        if self.of_latency and (self.quantile is None or self.slower is None):
            raise ValueError("a comparison of latency needs quantile and slower; give both")
        if self.of_latency and self.margin is not None:
            raise ValueError(
                "a comparison of latency takes no margin; remove it, slower says how much"
            )
        if not self.of_latency and self.margin is None:
            raise ValueError("a comparison of ratios needs a margin; add it, such as margin: 0.005")
        if not self.of_latency and not (self.quantile is None and self.slower is None):
            raise ValueError("quantile and slower are for comparisons of latency; remove them")
        return self

    def query(self) -> str:
        """Give the one query for both sides."""
        if self.of_latency:
            return latency_query(self.bucket or BUCKETS[self.preset or ""])
        preset = COUNTERS.get(self.preset or "")
        if preset:
            return compare_query(preset.bad, preset.total)
        return compare_query(self.bad or "", self.total or "")

    def made(self) -> Comparison:
        """Give what it says."""
        slow = None if self.slower is None else SlowerThan(self.quantile or 0.0, self.slower)
        return Comparison(
            margin=self.margin or 0.0,
            false_rollback=self.false_rollback,
            false_promotion=self.false_promotion,
            undecided=self.undecided,
            early_pass=self.early_pass,
            slower=slow,
        )


class BaselineFields(Part):
    """The canary's values against stable's over the window, as Kayenta's judge compares them."""

    query: Counter
    """PromQL that gives one series of "${revision}"."""
    direction: Direction
    """Which difference is bad."""
    tolerance: Slower = 0.25
    """How much of the estimated shift its whole confidence interval has to exceed."""
    confidence: Confidence = 0.98
    """The confidence of that interval."""
    allowed_increase: Annotated[float, Field(strict=True, ge=1, allow_inf_nan=False)] = 1.0
    """How many times stable's mean the canary's may be."""
    allowed_decrease: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    """The same downwards: 0.9 allows a tenth less."""

    def made(self) -> Baseline:
        """Give what it says."""
        return Baseline(
            direction=self.direction,
            tolerance=self.tolerance,
            confidence=self.confidence,
            allowed_increase=self.allowed_increase,
            allowed_decrease=self.allowed_decrease,
        )
