"""What a gate policy says, once it is read and found right."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coalmine.gate.baseline import Baseline
from coalmine.gate.comparison import Comparison
from coalmine.gate.presets import REQUESTS

__all__ = ["Check", "FailAfter", "NoData", "OnInconclusive", "Policy"]


class NoData(StrEnum):
    """What a sample counts for that is absent, NaN or infinite."""

    FAIL = "fail"
    """As one that breaks the threshold."""
    WAIT = "wait"
    """For nothing: it is missing from the coverage."""
    PASS = "pass"  # noqa: S105 - a word of the policy
    """As one that keeps the threshold. Infinite values outside of it still break it."""


class OnInconclusive(StrEnum):
    """What verdict to give when the evidence did not come in time."""

    INCONCLUSIVE = "inconclusive"
    ROLLBACK = "rollback"
    HOLD = "hold"
    """Keep the canary where it is and wait for a person."""


@dataclass(frozen=True, slots=True)
class FailAfter:
    """When a check has failed for good: at whichever limit is reached first.

    Attributes:
        consecutive: Failing samples in a row; None where there is no such limit.
        total: Failing samples in all; None where there is no such limit.
    """

    consecutive: int | None = 1
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is measured and must keep within its bounds.

    Attributes:
        name: Unique in the policy.
        query: Template of a PromQL expression; every series it gives is judged.
        minimum: The smallest value that is good; None where there is no lower bound.
        maximum: The largest value that is good; None where there is no upper bound.
        fail_after: When it has failed for good.
        no_data: What a missing sample counts for.
        over: Seconds that each sample looks back: the query's ``${window}``.
        preset: Name of the preset the query is from; empty where it was written out.
        unit: For people: ``ratio``, ``ms``, ``count`` or empty.
        compare: What is compared with stable; None where values are held against bounds.
        baseline: How values are held against stable's; None where they are not.
        advisory: Whether it is only told, and decides nothing.
    """

    name: str
    query: str
    minimum: float | None
    maximum: float | None
    fail_after: FailAfter
    no_data: NoData
    over: float
    preset: str = ""
    unit: str = ""
    compare: Comparison | None = None
    baseline: Baseline | None = None
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How a canary is judged. Times are in seconds.

    Attributes:
        name: For people.
        window: How long every check has to pass.
        step: The time between two samples.
        delay: How long the canary warms up before its samples count.
        timeout: When to stop waiting for evidence, counted from the canary's start.
        min_requests: The fewest requests the canary has to answer; at least 1.
        coverage: The part of a window's samples that has to be there; above 0, at most 1.
        checks: At least one.
        on_inconclusive: The verdict when the evidence did not come in time.
        requests: Template of the query for the counter of the canary's answered requests.
        hold: How long to wait for a person after the timeout; 0 where nobody is asked.
    """

    name: str
    window: float
    step: float
    delay: float
    timeout: float
    min_requests: int
    coverage: float
    checks: tuple[Check, ...]
    on_inconclusive: OnInconclusive = OnInconclusive.INCONCLUSIVE
    requests: str = REQUESTS
    hold: float = 0.0

    @property
    def longest(self) -> float:
        """Give the seconds after the canary's start at which there is a verdict in any case."""
        return self.timeout + self.hold
