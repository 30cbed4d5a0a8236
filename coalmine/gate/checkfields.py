"""The fields of a check, as pydantic reads them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from coalmine.gate.baseline import baseline_query
from coalmine.gate.comparefields import BaselineFields, CompareFields
from coalmine.gate.fields import (
    Count,
    MisfitError,
    Name,
    Number,
    Part,
    Query,
    Seconds,
    known,
    one_of,
)
from coalmine.gate.model import Check, FailAfter, NoData
from coalmine.gate.presets import PRESETS

__all__ = ["CheckFields"]

BOUNDS_ONLY = ("min", "max", "fail_after", "no_data")


class FailAfterFields(Part):
    """When a check has failed for good: at whichever limit is reached first."""

    consecutive: Count | None = None
    """Failing samples in a row."""
    total: Count | None = None
    """Failing samples in all."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.consecutive is None and self.total is None:
            raise ValueError("says nothing; give consecutive, total or both")
        return self


class CheckFields(Part):
    """One thing that is measured, and what of it is good."""

    model_config = one_of("preset", "query", "compare", "baseline")

    name: Name
    """Unique in the policy."""
    preset: Annotated[str, known(*PRESETS)] | None = None
    """A query that need not be written."""
    query: Query | None = None
    """PromQL that gives an instant vector or a scalar; every series is judged."""
    compare: CompareFields | None = None
    """A comparison with stable by what was answered."""
    baseline: BaselineFields | None = None
    """A comparison with stable by values over time."""
    min: Number | None = None
    """The smallest value that is good."""
    max: Number | None = None
    """The largest value that is good."""
    fail_after: FailAfterFields | None = None
    """When the check has failed for good; at the first failing sample unless told."""
    no_data: NoData | None = None
    """What a missing sample means, for this check alone."""
    over: Seconds | None = None
    """How far each sample looks back: the query's ${window}."""
    advisory: Annotated[bool, Field(strict=True)] = False
    """Whether the check is only told, and decides nothing."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = [self.preset, self.query, self.compare, self.baseline]
        if sum(one is not None for one in given) != 1:
            raise ValueError(
                "a check has either a preset or a query or compare or baseline; give one of them"
            )
        if self.over is not None and self.over <= 0:
            raise MisfitError("is nothing; write a duration such as 1m", "over")
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.compare is not None:
            return self._takes_no("compare", *BOUNDS_ONLY, "over")
        if self.baseline is not None:
            return self._is_baseline(self.baseline.query)
        return self._has_bounds()

    def _is_baseline(self, query: str) -> Self:
        if self.over is None and "${window}" in query:
            raise ValueError(
                "a baseline whose query has ${window} needs over; add a short one, such as "
                "over: 30s, for samples that overlap tell nothing new"
            )
        return self._takes_no("baseline", *BOUNDS_ONLY)

    def _takes_no(self, kind: str, *names: str) -> Self:
        strange = [name for name in names if getattr(self, name) is not None]
        if strange:
            raise MisfitError(f"a check with {kind} takes no {strange[0]}; remove it", strange[0])
        return self

    def _has_bounds(self) -> Self:
        if self.preset is not None and self.preset not in PRESETS:
            raise MisfitError(
                f"{self.preset!r} is no preset; write one of {', '.join(PRESETS)}", "preset"
            )
        if self.min is None and self.max is None:
            raise ValueError("a check without a threshold judges nothing; give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise MisfitError(
                "min is above max, so no value could be good; "
                f"write {self.max} or less, or a larger max",
                "min",
            )
        return self

    def made(self, no_data: NoData, window: float) -> Check:
        """Give what it says; ``no_data`` and ``window`` are those of the policy."""
        if self.baseline is not None:
            return self._ranked(self.baseline, window)
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
            advisory=self.advisory,
        )

    def _ranked(self, baseline: BaselineFields, window: float) -> Check:
        return Check(
            name=self.name,
            query=baseline_query(baseline.query),
            minimum=None,
            maximum=None,
            fail_after=FailAfter(),
            no_data=NoData.WAIT,
            over=self.over or window,
            baseline=baseline.made(),
            advisory=self.advisory,
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
            advisory=self.advisory,
        )
