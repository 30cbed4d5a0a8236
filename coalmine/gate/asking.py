"""One question to the metrics source; what is wrong with it names the check."""

from __future__ import annotations

from datetime import datetime, timedelta

from coalmine.metrics.protocol import BadQueryError, MetricsSource, Series

__all__ = ["ask"]


def ask(
    source: MetricsSource, name: str, query: str, *, start: datetime, end: datetime, step: timedelta
) -> tuple[Series, ...]:
    """Evaluate the query of a check at every step from start to end, both included.

    Args:
        source: What answers.
        name: The check, or ``requests``.
        query: Its query, written out.
        start: The first moment.
        end: The last.
        step: The time between two.

    Raises:
        BadQueryError: The query is wrong; names the check and the query.
        MetricsUnavailableError: No proper answer came.
    """
    try:
        return source.query_range(query, start=start, end=end, step=step)
    except BadQueryError as error:
        raise BadQueryError(
            f"check {name}: {error.message} (query: {query})", fix=error.fix
        ) from error
