"""A launcher that is killed in the middle of any step ends the release where it would have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(400)]

SERVICE = "probe"
LONG = {"canary", "gate"}


def killed_at(site: Site, version: str, *steps: str) -> Any:
    """Release a version and kill the launcher in the middle of each of these steps."""
    asked = site.ask(version, service=SERVICE)
    caught = {step for step in steps if site.kill_launcher(asked.id, step)}
    release = site.ended(asked.id)
    tries = {one["name"]: one["attempts"] for one in release["steps"] if one["attempts"]}
    assert tries == {step: 2 if step in caught else 1 for step in tries}
    assert LONG & set(steps) <= caught, "a step of seconds cannot be missed"
    return release


def test_kill_9_on_the_way_to_a_promotion(site: Site) -> None:
    stable = site.steady(SERVICE)
    with site.users(SERVICE) as load:
        release = killed_at(
            site, "better", "retrieve", "build", "canary", "gate", "promote", "finalize"
        )
    canary = f"{SERVICE}-{release['id']}"
    assert release["state"] == "promoted", release
    assert site.phases(release["id"]) == ["preparing", "canary", "canary", "promoted"]
    assert site.split(SERVICE) == {canary: 100}
    record = site.observe(SERVICE).record
    assert record
    assert (record.canary, record.stable, record.phase) == (canary, stable, "promoted")
    servers = {one.name for one in site.stack.programs() if one.name.startswith("server-")}
    assert servers == {f"server-{canary}"}
    assert load.tally().failed() == 0


def test_kill_9_on_the_way_to_a_roll_back(site: Site) -> None:
    stable = site.steady(SERVICE)
    with site.users(SERVICE) as load:
        release = killed_at(site, "bad", "gate", "rollback", "finalize")
    canary = f"{SERVICE}-{release['id']}"
    assert (release["state"], release["verdict"]) == ("rolled_back", "rollback"), release
    assert site.phases(release["id"]) == ["preparing", "canary", "canary", "rolled_back"]
    assert site.split(SERVICE) == {stable: 100}
    servers = {one.name for one in site.stack.programs() if one.name.startswith("server-")}
    assert servers == {f"server-{stable}"}
    failed = {(answer.revision, answer.status) for answer in load.tally().counts if answer.failed}
    assert failed == {(canary, 500)}
