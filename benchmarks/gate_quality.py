"""How right and how soon gates are: ours, and the rules of four others, on the same traffic.

    python benchmarks/gate_quality.py --runs 100      # all cells, some minutes on one core

Each rule is judged as documented, and tuned: for each rate and base error rate the strictest of its
choices by which at most 5 % of good canaries of a separate sample are rolled back. So tuning knows
the service's true error rate, which is more than any user knows. Faults of latency are not in here.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gate_rules import RULES, Outcome, Rule
from gate_traffic import FAULTS, GOOD_FAULTS, STEP, Cell, Traffic, simulate
from measure import print_head

__all__ = ["BASES", "RATES", "Score", "compare_rules", "run"]

FALSE_ROLLBACKS = 0.05
OURS = 2
"""The first rules are ours."""
RATES, BASES = (1.0, 10.0, 100.0), (0.0, 0.001, 0.01)


@dataclass(frozen=True, slots=True)
class Score:
    """How a rule did in a cell.

    Attributes:
        wrong: The part of the canaries that were rolled back though good, or promoted though bad.
        median: Seconds to the verdict.
        late: The same, 95th percentile.
        lost: Failed requests on the canary before the verdict, on average.
    """

    wrong: float
    median: float
    late: float
    lost: float

    def __str__(self) -> str:
        return f"{self.wrong:4.0%} · {self.median:.0f}/{self.late:.0f} s · {self.lost:.0f}"


def compare_rules(
    cells: Iterable[Cell], runs: int, tuned: Mapping[tuple[float, float, str], float] | None
) -> dict[Cell, list[Score]]:
    """Judge each cell by each rule, tuned or as documented."""
    return {cell: [_score(cell, rule, runs, tuned) for rule in RULES] for cell in cells}


def _score(
    cell: Cell, rule: Rule, runs: int, tuned: Mapping[tuple[float, float, str], float] | None
) -> Score:
    traffic = simulate(cell, runs, seed=1)
    number = tuned[cell.rate, cell.base, rule.name] if tuned else rule.default
    return _scored(cell, traffic, rule.judge(traffic, number))


def _scored(cell: Cell, traffic: Traffic, outcomes: Sequence[Outcome]) -> Score:
    good = cell.fault in GOOD_FAULTS
    seconds = sorted(STEP * outcome.step for outcome in outcomes)
    lost = [
        int(bad[: outcome.step].sum())
        for bad, outcome in zip(traffic.canary_bad, outcomes, strict=True)
    ]
    return Score(
        wrong=sum(outcome.promoted is not good for outcome in outcomes) / len(outcomes),
        median=statistics.median(seconds),
        late=seconds[math.ceil(0.95 * len(seconds)) - 1],
        lost=statistics.fmean(lost),
    )


def _tune(
    rates: Sequence[float], bases: Sequence[float], runs: int
) -> dict[tuple[float, float, str], float]:
    return {
        (rate, base, rule.name): _tuned(rule, simulate(Cell(rate, base, "none"), runs, seed=2))
        for rate in rates
        for base in bases
        for rule in RULES
    }


def _tuned(rule: Rule, good: Traffic) -> float:
    """Give the strictest number with few false roll-backs; the last one if all have more."""
    for number in rule.choices:
        outcomes = rule.judge(good, number)
        if sum(not outcome.promoted for outcome in outcomes) <= FALSE_ROLLBACKS * len(outcomes):
            return number
    return rule.choices[-1]


def _print_table(title: str, scores: Mapping[Cell, Sequence[Score]]) -> None:
    print(
        f"\n### {title}\n\nWrong verdicts · median/95th percentile to the verdict · requests lost\n"
    )
    print("| fault | requests/s | errors | " + " | ".join(rule.name for rule in RULES) + " |")
    print("| --- | ---: | ---: |" + " --- |" * len(RULES))
    for cell, row in scores.items():
        told = " | ".join(str(score) for score in row)
        print(f"| {cell.fault} | {cell.rate:g} | {cell.base:.1%} | {told} |")


def _print_better(scores: Mapping[Cell, Sequence[Score]], runs: int) -> None:
    """Name the cells in which another's rule is wrong less often, by more than noise."""
    for number in range(OURS):
        name = RULES[number].name
        print(f"\nWhere another rule is wrong less often than {name}, by two standard errors:\n")
        found = [
            f"- {cell.fault}, {cell.rate:g}/s, {cell.base:.1%}: {rule.name} {score.wrong:.0%}, "
            f"{name} {row[number].wrong:.0%}"
            for cell, row in scores.items()
            for rule, score in zip(RULES[OURS:], row[OURS:], strict=True)
            if row[number].wrong - score.wrong > 2 * _noise(row[number].wrong, score.wrong, runs)
        ]
        print("\n".join(found) or "- nowhere")


def _print_sooner(scores: Mapping[Cell, Sequence[Score]], runs: int) -> None:
    """Name the cells in which another's rule is as right and loses fewer requests."""
    name = RULES[0].name
    print(f"\nWhere another rule is as right and costs a tenth fewer requests than {name}:\n")
    found = [
        f"- {cell.fault}, {cell.rate:g}/s, {cell.base:.1%}: {rule.name} {score.lost:.1f}, "
        f"{name} {row[0].lost:.1f}"
        for cell, row in scores.items()
        for rule, score in zip(RULES[OURS:], row[OURS:], strict=True)
        if cell.fault not in GOOD_FAULTS
        and score.wrong - row[0].wrong <= 2 * _noise(row[0].wrong, score.wrong, runs)
        and score.lost < 0.9 * row[0].lost
    ]
    print("\n".join(found) or "- nowhere")


def _noise(one: float, other: float, runs: int) -> float:
    spread = sum(p * (1 - p) for p in (one, other)) / runs
    return max(math.sqrt(spread), 1 / runs)


def run(rates: Sequence[float], bases: Sequence[float], faults: Sequence[str], runs: int) -> None:
    """Print the tables."""
    cells = [Cell(rate, base, fault) for fault in faults for rate in rates for base in bases]
    cells = [cell for cell in cells if cell.says_something]
    print_head(f"Gates on simulated traffic, {runs} canaries a cell")
    _print_table("As documented", compare_rules(cells, runs, None))
    tuned = _tune(rates, bases, runs)
    scores = compare_rules(cells, runs, tuned)
    _print_table("Each tuned to 5 % false roll-backs", scores)
    _print_better(scores, runs)
    _print_sooner(scores, runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="canaries a cell")
    run(RATES, BASES, FAULTS, parser.parse_args().runs)
