"""Release after release under load: no request is lost, and every share is what was asked for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from coalmine.serving.local import LocalServing
from coalmine.stack.stack import Stack
from coalmine.stack.waiting import wait_for

pytestmark = pytest.mark.integration

STEPS = (10, 25, 50)
SETTLED = 48
"""Answers after which none is on its way that the split before has routed."""
Z = statistics.NormalDist().inv_cdf(1 - 0.001 / 2)


@dataclass
class Tally:
    """What was counted at each share.

    Attributes:
        hits: Answers of the canary and of both, by the share in percent.
        outside: How many single counts lay outside their binomial 99.9 % interval.
        counts: How many single counts there were.
    """

    hits: dict[int, tuple[int, int]] = field(default_factory=dict)
    outside: int = 0
    counts: int = 0

    def add(self, percent: int, hits: int, total: int) -> None:
        before = self.hits.get(percent, (0, 0))
        self.hits[percent] = (before[0] + hits, before[1] + total)
        self.outside += not is_within(percent, hits, total)
        self.counts += 1


def is_within(percent: int, hits: int, total: int, z: float = Z) -> bool:
    """Whether hits lie in the binomial 99.9 % interval: the normal one, with a half to round."""
    share = percent / 100
    deviation = math.sqrt(total * share * (1 - share))
    return abs(hits - total * share) <= z * deviation + 0.5


def counted(load: Any, revision: str, enough: int) -> tuple[int, int]:
    def snapshot() -> tuple[int, int]:
        answers = dict(load.answers)
        mine = sum(count for (who, _), count in answers.items() if who == revision)
        return mine, sum(answers.values())

    def more(by: int) -> tuple[int, int]:
        goal = load.total() + by
        assert wait_for(lambda: load.total() >= goal, seconds=60)
        return snapshot()

    before, after = more(SETTLED), more(enough)
    return after[0] - before[0], after[1] - before[1]


def cycle(backend: LocalServing, load: Any, number: int, tally: Tally, enough: int) -> None:
    release = f"r{number}"
    for percent in STEPS:
        if percent == STEPS[0]:
            backend.apply_canary(
                service="iris",
                image=f"v{number}:ok",
                version=f"v{number}",
                percent=percent,
                release_id=release,
            )
        else:
            backend.set_traffic(service="iris", percent=percent, release_id=release)
        tally.add(percent, *counted(load, f"iris-{release}", enough))
    end = backend.promote if number % 2 else backend.rollback
    end(service="iris", release_id=release)


def run(
    stack: Stack, backend: LocalServing, load: Any, *, cycles: int, enough: int, z: float = Z
) -> None:
    backend.apply_canary(service="iris", image="v0:ok", version="v0", percent=10, release_id="r0")
    backend.promote(service="iris", release_id="r0")
    running, tally = load(stack.endpoints().proxy + "/iris/predict"), Tally()
    for number in range(1, cycles + 1):
        cycle(backend, running, number, tally, enough)
    assert running.errors == []
    assert running.failed() == {}
    for percent, (hits, total) in tally.hits.items():
        print(f"asked for {percent} %, got {100 * hits / total:.2f} % of {total} requests")
        assert is_within(percent, hits, total, z)
    # Of n counts n/1000 lie outside by chance; five more is beyond it.
    assert tally.outside <= tally.counts / 1000 + 5


def test_a_few_releases_in_steps(
    stack: Stack, backend: LocalServing, load: Callable[[str], Any]
) -> None:
    # At 99.9 % one run in 300 would fail by chance.
    run(stack, backend, load, cycles=2, enough=100, z=5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_releases_in_steps(
    stack: Stack, backend: LocalServing, load: Callable[[str], Any]
) -> None:
    # At 99.9 % one run in 300 would fail by chance.
    run(stack, backend, load, cycles=200, enough=100)
