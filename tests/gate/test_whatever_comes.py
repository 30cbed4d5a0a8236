"""Whatever is measured, the judge decides, and what it decided can be written, told and drawn."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine.gate.baseline import Baseline, Direction
from coalmine.gate.comparison import PART, PARTS, Comparison, SlowerThan, Undecided
from coalmine.gate.evidence import Evidence
from coalmine.gate.explain import explain
from coalmine.gate.judge import Verdict, judge
from coalmine.gate.model import Check, FailAfter, NoData, OnInconclusive, Policy
from coalmine.gate.plan import make_plan
from coalmine.gate.record import gate_record
from coalmine.gate.report.render import render_gate
from coalmine.gate.runner import Tick
from coalmine.metrics.protocol import Series

ODD = (math.nan, math.inf, -math.inf, None)
VALUES = (0.0, 0.7, 1.0, 40.0, -5.0, 1e300, -1e300, 1e-300, *ODD)
BOUNDS = ("0", "-1", "0.005", "10", "20", "1e3", "+Inf", "NaN", "x")


class World:
    """A policy and what was measured, drawn at random."""

    def __init__(self, make: Any, seed: int) -> None:
        self.make, self.dice = make, random.Random(seed)
        self.length, self.step = self.dice.randint(1, 40), self.dice.choice([0.5, 1.0, 15.0])

    def counter(self, **labels: str) -> Series:
        total, values = 0.0, list[float | None]()
        for _ in range(self.length):
            total = total + self.dice.choice([0, 0, 1, 5, 0.5, 100, 1e6])
            total = 0.0 if self.dice.random() < 0.1 else total
            values.append(self.dice.choice(ODD) if self.dice.random() < 0.1 else total)
        return self.series(values, **labels)

    def series(self, values: list[float | None], **labels: str) -> Series:
        made: Series = self.make.series(values, step=self.step, **labels)
        return made

    def values(self, **labels: str) -> Series:
        return self.series([self.dice.choice(VALUES) for _ in range(self.length)], **labels)

    def checks(self) -> list[Check]:
        dice, make = self.dice, self.make
        ratio = Comparison(
            margin=dice.choice([0.0, 1e-9, 0.01, 0.99]),
            false_rollback=dice.choice([0.001, 0.05, 0.5]),
            false_promotion=dice.choice([0.05, 0.5]),
            undecided=dice.choice(list(Undecided)),
            early_pass=dice.random() < 0.5,
        )
        slower = SlowerThan(dice.choice([0.01, 0.5, 0.95, 0.999]), dice.choice([0, 0.2, 1.5, 99]))
        limits = FailAfter(dice.choice([None, 1, 3]), dice.choice([2, 5]))
        found = [
            make.check(name="ratio", compare=ratio),
            make.check(name="slow", compare=replace(ratio, margin=0.0, slower=slower)),
            make.check(name="rank", baseline=Baseline(dice.choice(list(Direction)))),
            make.check(name="bounds", fail_after=limits, no_data=dice.choice(list(NoData))),
        ]
        return dice.sample(found, dice.choice([1, 4]))

    def policy(self) -> Policy:
        window = self.dice.randint(1, 15)
        policy: Policy = self.make.policy(
            *self.checks(),
            window=window * self.step,
            step=self.step,
            delay=self.dice.choice([0, 0.3, 2.2, 5]) * self.step,
            timeout=(window + self.dice.randint(6, 20)) * self.step,
            min_requests=self.dice.choice([1, 50]),
            coverage=self.dice.choice([0.01, 0.5, 1.0]),
            on_inconclusive=self.dice.choice(list(OnInconclusive)),
            hold=self.dice.choice([0, 5]) * self.step,
        )
        return policy

    def evidence(self) -> Evidence:
        some = self.dice.sample(BOUNDS, self.dice.randint(0, len(BOUNDS)))
        sides = ("canary", "stable")
        pods = [str(number) for number in range(self.dice.choice([0, 1, 1, 2]))]
        buckets = (
            self.counter(**{PART: f"{side}_bucket", "le": le}) for side in sides for le in some
        )
        checks = {
            "ratio": tuple(self.counter(**{PART: part, "pod": p}) for part in PARTS for p in pods),
            "slow": tuple(buckets),
            "rank": tuple(self.values(**{PART: side, "pod": p}) for side in sides for p in pods),
            "bounds": tuple(self.values(pod=pod) for pod in pods),
        }
        return Evidence(self.make.since, tuple(self.counter(pod=pod) for pod in pods), checks)

    def now(self) -> float:
        ages = (-3.0, self.length - 1.0, self.length * 1.5 * self.dice.random(), 1e9)
        now: float = self.make.since + self.dice.choice(ages) * self.step
        return now


@pytest.mark.parametrize("seed", range(40))
def test_there_is_a_decision_that_can_be_told(make: Any, seed: int) -> None:
    world = World(make, seed)
    policy, evidence, now = world.policy(), world.evidence(), world.now()
    decision = judge(policy, evidence, now)
    assert decision.verdict in Verdict
    assert 0 <= decision.requests < math.inf
    facts = {"service": "iris", "canary": "c", "stable": "s"}
    since = datetime.fromtimestamp(make.since, UTC)
    record = gate_record(make_plan(policy, facts), Tick(now, evidence, decision), since, facts)
    told = json.loads(json.dumps(record, allow_nan=False))
    assert decision.reason in explain(told)
    assert render_gate(told).rstrip().endswith("</html>")
