"""What answers questions about the past minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["BadQueryError", "MetricsSource", "MetricsUnavailableError", "Sample", "Series"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value at one time.

    Attributes:
        time: Unix time in seconds.
        value: May be NaN or infinite.
    """

    time: float
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One time series of an answer.

    Attributes:
        labels: Its labels, sorted by name.
        samples: In order of time.
    """

    labels: tuple[tuple[str, str], ...]
    samples: tuple[Sample, ...]


class MetricsUnavailableError(CoalmineError):
    """The metrics source does not answer, or not with an answer; asking again may help."""


class BadQueryError(InputError):
    """The query is wrong: it does not parse, or is not of the kind that was meant."""


class MetricsSource(Protocol):
    """A Prometheus, or what speaks its HTTP API."""

    def query_range(
        self, expression: str, *, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        """Evaluate an expression at every step from start to end, both included.

        Raises:
            BadQueryError: The expression does not parse or gives no instant vector or scalar.
            MetricsUnavailableError: No proper answer came.
        """
