"""A release in steps of traffic, each judged on its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coalmine.events.event import new_event
from coalmine.events.send import send_event

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(400)]


def test_a_canary_climbs_to_all_traffic(site: Site, tmp_path: Path) -> None:
    site.steady("probe")
    checks = [
        {"name": "error_rate", "preset": "error_rate", "max": 0.05, "over": "2s"},
    ]
    policy = site.with_policy(tmp_path, window="2s", checks=checks)
    data = {"service": "probe", "version": "good", "policy": str(policy)}
    event = new_event(
        type="dev.coalmine.progressive.requested.v1", source="/tests/e2e", data=data, id=""
    )
    with site.users("probe") as load:
        release = site.ended(send_event(site.endpoints.launcher, event).id)
    assert release["state"] == "promoted", release
    states = {step["name"]: step["state"] for step in release["steps"]}
    done = ("canary", "gate", "traffic", "gate-2", "traffic-2", "gate-3", "promote", "finalize")
    assert [states[name] for name in done] == ["succeeded"] * len(done)
    assert {states[name] for name in ("rollback", "rollback-2", "rollback-3")} == {"skipped"}
    assert site.split("probe") == {f"probe-{release['id']}": 100}
    assert load.tally().failed() == 0
