"""What a ``compare`` check says: whose counters, how much worse is still good, how sure to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "PART",
    "PARTS",
    "Comparison",
    "SlowerThan",
    "Undecided",
    "compare_query",
    "latency_query",
]

PART = "coalmine_part"
"""The label that tells in an answer which of the counters a series is of."""
PARTS = ("canary_bad", "canary_total", "stable_bad", "stable_total")
"""Its values where ratios are compared."""
BUCKET_PARTS = ("canary_bucket", "stable_bucket")
"""Its values where durations are."""
REVISION = "${revision}"


class Undecided(StrEnum):
    """What counts at the window's end while neither worse nor not worse is established."""

    TEST = "test"
    """Good is what chance explains: one more test of the window, at the half of false_rollback."""
    ESTIMATE = "estimate"
    """Good is a difference over the window that is within the margin, as far as it was seen."""
    WAIT = "wait"
    """Nothing is good that is not established."""


@dataclass(frozen=True, slots=True)
class SlowerThan:
    """How much slower the canary may be.

    Attributes:
        quantile: Where the durations are compared, such as 0.95.
        share: How much longer the canary may take, as a part of stable's duration.
    """

    quantile: float
    share: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The canary's ratio against stable's.

    Attributes:
        margin: How much above stable's the canary's ratio may be; at least 0, below 1.
        false_rollback: The highest probability of a roll-back of a canary within the margin.
        false_promotion: The highest probability that not worse is established of one beyond it.
        undecided: What counts at the window's end.
        early_pass: Whether the check can pass before the window is over.
        slower: Set where the ratio is that of slow answers, by the buckets of a histogram.
    """

    margin: float
    false_rollback: float
    false_promotion: float
    undecided: Undecided
    early_pass: bool = True
    slower: SlowerThan | None = None


def compare_query(bad: str, total: str) -> str:
    """Ask for all four counters at once, so that one answer holds them at the same moments.

    Args:
        bad: Template of an expression for a revision's counters of bad answers, with
            ``${revision}``.
        total: The same for all answers.

    Returns:
        A template with ``${canary}`` and ``${stable}``; each series is labelled with its part.
    """
    kinds = {"bad": bad, "total": total}
    return "\nor ".join(_labelled(kinds, PARTS))


def latency_query(bucket: str) -> str:
    """Ask for both sides' histograms at once.

    Args:
        bucket: Template of an expression for a revision's buckets, with ``${revision}``.
    """
    return "\nor ".join(_labelled({"bucket": bucket}, BUCKET_PARTS))


def _labelled(kinds: Mapping[str, str], parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        role, kind = part.split("_")
        text = kinds[kind].replace(REVISION, f"${{{role}}}")
        yield f'label_replace(\n{text}\n, "{PART}", "{part}", "", "")'
