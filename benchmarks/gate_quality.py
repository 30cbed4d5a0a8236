"""How right and how soon gates are: ours, and the rules of four others, on the same traffic.

    python benchmarks/gate_quality.py --runs 400      # all cells, some minutes on two cores

Each rule is judged as documented, and tuned: for each rate and base error rate to the strictest of
its choices by which, of a separate sample, no more good canaries are rolled back than by ours. So
tuning knows the service's true error rate, which is more than any user knows. Ours is not tuned: it
has one setting in all cells.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from gate_rules import OURS, RULES, Rule
from gate_scores import Score, score
from gate_tables import print_better, print_goals, print_table
from gate_traffic import ERROR_FAULTS, LATENCY_FAULTS, Cell, Traffic, simulate
from measure import print_head

__all__ = ["BASES", "FAULTS", "RATES", "run"]

RATES, BASES = (1.0, 10.0, 100.0), (0.0, 0.001, 0.01)
FAULTS = (*ERROR_FAULTS, *LATENCY_FAULTS)
SHARES = (0.02, 0.1, 0.5)
Scores = tuple[list[Score], list[Score]]
"""As documented, and tuned; one of each rule."""


def run(rates: Sequence[float], bases: Sequence[float], faults: Sequence[str], runs: int) -> None:
    """Print the tables."""
    began = time.monotonic()
    cells = [Cell(rate, base, fault) for fault in faults for rate in rates for base in bases]
    cells = list(dict.fromkeys(cell.plain for cell in cells if cell.says_something))
    good = list(dict.fromkeys(cell.without_fault for cell in cells))
    with ProcessPoolExecutor(2) as pool:
        numbers = dict(zip(good, pool.map(_tuned, good, [3 * runs] * len(good)), strict=True))
        tuned = [numbers[cell.without_fault] for cell in cells]
        scores = dict(zip(cells, pool.map(_scores, cells, [runs] * len(cells), tuned), strict=True))
    print_head(
        f"Gates on simulated traffic, {runs} canaries a cell, {time.monotonic() - began:.0f} s"
    )
    widths = [
        f"{share:.0%} +-{196 * math.sqrt(share * (1 - share) / runs):.1f}" for share in SHARES
    ]
    print(f"95 % intervals, in percentage points: {', '.join(widths)}")
    names = [rule.name for rule in RULES]
    tuned_scores = {cell: both[1] for cell, both in scores.items()}
    print_table("As documented", names, {cell: both[0] for cell, both in scores.items()})
    print_table("The others tuned to our false roll-backs", names, tuned_scores)
    print_goals(tuned_scores)
    print_better(names, tuned_scores, skip=OURS)


def _tuned(good: Cell, runs: int) -> list[float]:
    """Choose each rule's number."""
    traffic = simulate(good, runs, seed=2)
    allowed = _false(RULES[0], traffic, [RULES[0].default_for(traffic)])[0]
    return [_chosen(rule, traffic, allowed) for rule in RULES]


def _chosen(rule: Rule, traffic: Traffic, allowed: float) -> float:
    choices = rule.choices_for(traffic)
    if not choices:
        return rule.default_for(traffic)
    false = _false(rule, traffic, choices)
    kept = (one for one, part in zip(choices, false, strict=True) if part <= allowed)
    return next(kept, choices[-1])


def _false(rule: Rule, traffic: Traffic, numbers: Sequence[float]) -> list[float]:
    return [1 - float(found.promoted.mean()) for found in rule.judge(traffic, numbers)]


def _scores(cell: Cell, runs: int, tuned: Sequence[float]) -> Scores:
    traffic = simulate(cell, runs, seed=1)
    default, best = [], []
    for rule, number in zip(RULES, tuned, strict=True):
        numbers = dict.fromkeys([rule.default_for(traffic), number])
        found = [score(cell, traffic, outcomes) for outcomes in rule.judge(traffic, [*numbers])]
        default.append(found[0])
        best.append(found[-1])
    return default, best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="canaries a cell")
    run(RATES, BASES, FAULTS, parser.parse_args().runs)
