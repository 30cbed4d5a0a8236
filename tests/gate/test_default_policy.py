"""What becomes of a release that names no policy, on a real Prometheus that holds its ten minutes.

The traffic is that of the demo, 50 requests a second of which the canary has a tenth, and less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine.cli.judging import replayed
from coalmine.gate.judge import Decision, Verdict
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import load_policy
from coalmine.metrics.prometheus import PrometheusSource

pytestmark = pytest.mark.integration

LENGTH, STEP = 1800, 15
NAMES = {"total": "rq_completed", "bad": "rq_xx", "bucket": "rq_time_bucket"}


@dataclass(frozen=True)
class Revision:
    """What one revision answers: requests a second, the part that fails, in how many ms."""

    rate: float
    bad: float = 0.0
    took: int = 20
    scraped: int = STEP
    """Seconds."""
    until: int = LENGTH
    """When its traffic stops; seconds."""

    def rows(self, name: str, since: int) -> Iterator[tuple[str, str]]:
        label = f'envoy_cluster_name="{name}"'
        for age in range(0, LENGTH + STEP, self.scraped):
            total, at = int(self.rate * min(age, self.until)), f"{since + age}"
            yield "total", f"{{{label}}} {total} {at}"
            if int(self.bad * total):
                code = f'{label},envoy_response_code_class="5"'
                yield "bad", f"{{{code}}} {int(self.bad * total)} {at}"
            for bound in ("25", "1000", "5000", "+Inf"):
                within = total if self.took <= float(bound) else 0
                yield "bucket", f'{{{label},le="{bound}"}} {within} {at}'


GOOD = Revision(5)
REVISIONS = {
    "stable": Revision(45),
    "stable-bad": Revision(45, bad=0.008),
    "stable-quiet": Revision(1.8, scraped=60),
    "good": GOOD,
    "as-bad": Revision(5, bad=0.008),
    "raises": Revision(5, bad=0.3),
    "half-a-percent": Revision(5, bad=0.006),
    "slow": Revision(5, took=2000),
    "quiet": Revision(0.2, scraped=60),
    "stops": Revision(5, until=180),
}


def export(since: int) -> str:
    families: dict[str, list[str]] = {kind: [] for kind in NAMES}
    for name, revision in REVISIONS.items():
        for kind, row in revision.rows(name, since):
            families[kind].append(f"envoy_cluster_upstream_{NAMES[kind]}{row}")
    families["up"] = [
        f"envoy_server_uptime {100 + age} {since + age}" for age in range(0, LENGTH + 1, STEP)
    ]
    names = {kind: f"envoy_cluster_upstream_{name}" for kind, name in NAMES.items()}
    names["up"] = "envoy_server_uptime"
    return "".join(
        f"# TYPE {names[kind]} unknown\n" + "".join(f"{row}\n" for row in rows)
        for kind, rows in families.items()
    )


@pytest.fixture(scope="module")
def since() -> int:
    return int(time.time()) - LENGTH - 60


@pytest.fixture(scope="module")
def judged(recorded: Callable[[str], str], since: int) -> Iterator[Any]:
    begin, end = (datetime.fromtimestamp(since + age, UTC) for age in (0, LENGTH))
    with PrometheusSource(recorded(export(since))) as source:

        def judged(canary: str, stable: str) -> tuple[Decision, float]:
            facts = {"service": "iris", "canary": canary, "stable": stable}
            plan, moments = make_plan(load_policy(""), facts), list[float]()
            decision = replayed(
                plan, source, begin, end, lambda tick: moments.append(tick.now - since)
            )
            return decision, moments[-1]

        yield judged


@pytest.mark.parametrize(
    ("canary", "stable", "verdict", "within"),
    [
        ("good", "", Verdict.PROMOTE, (600, 690)),
        ("good", "stable", Verdict.PROMOTE, (600, 690)),
        ("quiet", "stable-quiet", Verdict.PROMOTE, (600, 1200)),
        ("as-bad", "stable-bad", Verdict.PROMOTE, (600, 690)),
        ("raises", "stable", Verdict.ROLLBACK, (15, 60)),
        ("half-a-percent", "stable", Verdict.ROLLBACK, (60, 690)),
        ("slow", "stable", Verdict.ROLLBACK, (60, 240)),
        ("stops", "stable", Verdict.INCONCLUSIVE, (180, 1800)),
    ],
)
def test_who_just_says_release_is_served(
    judged: Any, canary: str, stable: str, verdict: Verdict, within: tuple[float, float]
) -> None:
    decision, spent = judged(canary, stable)
    assert decision.verdict is verdict, decision.reason
    assert within[0] <= spent <= within[1], decision.reason


def test_only_the_comparison_sees_what_the_threshold_lets_pass(judged: Any) -> None:
    worse, _ = judged("half-a-percent", "stable")
    assert worse.reason.startswith("errors_vs_stable was 0.6")
    first, _ = judged("half-a-percent", "")
    assert first.verdict is Verdict.PROMOTE, "there is no stable to be worse than"
