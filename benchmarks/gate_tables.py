"""What ``gate_quality`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from gate_scores import Score, margin_of_error
from gate_traffic import Cell

__all__ = ["print_better", "print_goals", "print_table"]

Scores = Mapping[Cell, Sequence[Score]]


def print_table(title: str, names: Sequence[str], scores: Scores) -> None:
    """Print a row a cell, a column a rule."""
    print(f"\n### {title}\n")
    print(
        "Wrong verdicts · seconds to the verdict, median/95th percentile · requests lost before it"
    )
    print("(failed ones; where latency is judged, all that were answered)\n")
    print("| fault | requests/s | errors | " + " | ".join(names) + " |")
    print("| --- | ---: | ---: |" + " --- |" * len(names))
    for cell, row in scores.items():
        base = "" if cell.is_latency else f"{100 * cell.base:g} %"
        told = " | ".join(str(score) for score in row)
        print(f"| {cell.fault} | {cell.rate:g} | {base} | {told} |")


def print_goals(scores: Scores) -> None:
    """Say what was to be reached, and the worst cell of each."""
    print("\n### Goals\n")
    good = {cell: row[0].wrong for cell, row in scores.items() if cell.is_good}
    bad = {
        cell: row[0].wrong
        for cell, row in scores.items()
        if not cell.is_good and cell.rate >= 10 and cell.fault != "errors x2"
    }
    fifth = {cell: row[0].median for cell, row in scores.items() if cell.fault == "a fifth fails"}
    for words, worst in (
        ("false roll-backs, at most 5 %", good),
        ("missed bad canaries from 10/s, five times the errors and worse, at most 1 %", bad),
    ):
        if worst:
            cell = max(worst, key=lambda one: worst[one])
            print(f"- {words}: {worst[cell]:.1%} at worst ({cell})")
    for cell, seconds in fifth.items():
        print(f"- {cell}: rolled back after {seconds:.0f} s in the median")


def print_better(names: Sequence[str], scores: Scores, skip: int) -> None:
    """Name the cells in which another's rule is better than ours by more than noise."""
    for title, better in (
        ("is wrong less often", _is_more_right),
        ("is as right, and costs users fewer requests", _is_cheaper),
        ("promotes good canaries as rightly, and sooner", _is_sooner),
    ):
        print(f"\n### Where another rule {title}, by three standard errors\n")
        found = [
            f"- {cell}: {names[number]} {row[number]}, ours {row[0]}"
            for cell, row in scores.items()
            for number in range(skip, len(names))
            if better(cell, row[0], row[number])
        ]
        print("\n".join(found) or "- nowhere")


def _noise(ours: Score, other: Score) -> float:
    return margin_of_error(ours.wrong, other.wrong, len(ours.lost))


def _is_more_right(cell: Cell, ours: Score, other: Score) -> bool:
    """Compare wrong verdicts, but for those that the others are tuned to have no more of."""
    return cell != cell.without_fault and ours.wrong - other.wrong > _noise(ours, other)


def _is_as_right(ours: Score, other: Score) -> bool:
    return abs(other.wrong - ours.wrong) <= _noise(ours, other)


def _is_cheaper(cell: Cell, ours: Score, other: Score) -> bool:
    saved = ours.lost - other.lost
    error = 3 * float(saved.std()) / np.sqrt(len(saved))
    return not cell.is_good and _is_as_right(ours, other) and float(saved.mean()) > error


def _is_sooner(cell: Cell, ours: Score, other: Score) -> bool:
    return cell.is_good and _is_as_right(ours, other) and other.median < ours.median
