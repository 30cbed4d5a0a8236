"""What a ``compare`` check says: whose counters, how much worse is still good, how sure to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PART", "PARTS", "Comparison", "Undecided", "compare_query"]

PART = "coalmine_part"
"""The label that tells in an answer which of the four counters a series is of."""
PARTS = ("canary_bad", "canary_total", "stable_bad", "stable_total")
"""Its values."""
REVISION = "${revision}"


class Undecided(StrEnum):
    """What counts at the window's end while neither worse nor not worse is established."""

    ESTIMATE = "estimate"
    """Good is a difference over the window that is within the margin, as far as it was seen."""
    WAIT = "wait"
    """Nothing is good that is not established."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The canary's ratio against stable's.

    Attributes:
        margin: How much above stable's the canary's ratio may be; at least 0, below 1.
        false_rollback: The highest probability of a roll-back of a canary within the margin.
        false_promotion: The highest probability that not worse is established of one beyond it.
        undecided: What counts at the window's end.
        early_pass: Whether the check can pass before the window is over.
    """

    margin: float
    false_rollback: float
    false_promotion: float
    undecided: Undecided
    early_pass: bool = True


def compare_query(bad: str, total: str) -> str:
    """Ask for all four counters at once, so that one answer holds them at the same moments.

    Args:
        bad: Template of an expression for a revision's counters of bad answers, with
            ``${revision}``.
        total: The same for all answers.

    Returns:
        A template with ``${canary}`` and ``${stable}``; each series is labelled with its part.
    """
    return "\nor ".join(_labelled(bad, total))


def _labelled(bad: str, total: str) -> Iterator[str]:
    for part in PARTS:
        role, kind = part.split("_")
        text = (bad if kind == "bad" else total).replace(REVISION, f"${{{role}}}")
        yield f'label_replace(\n{text}\n, "{PART}", "{part}", "", "")'
