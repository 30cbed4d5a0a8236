"""Whatever breaks in a release, users of the stable version do not notice."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coalmine.stack.health import healthy
from coalmine.stack.waiting import wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(400)]

SERVICE = "probe"


def attempts(release: Any) -> dict[str, int]:
    return {step["name"]: step["attempts"] for step in release["steps"] if step["attempts"]}


def step(release: Any, name: str) -> Any:
    return next(one for one in release["steps"] if one["name"] == name)


def until_judged(site: Site, release_id: str, samples: int = 2) -> None:
    """Wait until the gate is in the middle of its work; its policy has to be a patient one."""

    def look() -> bool:
        results = [check["result"] or {} for check in site.gate(release_id).get("checks", [])]
        return any(result.get("samples", 0) >= samples for result in results)

    assert wait_for(look, seconds=150, every=0.02), site.read(release_id)


@contextlib.contextmanager
def down(site: Site, program: str) -> Iterator[None]:
    """Keep a program from running."""
    site.stack.supervisor._call("supervisor.stopProcess", program)
    try:
        yield
    finally:
        site.stack.supervisor._call("supervisor.startProcess", program)
        assert wait_for(lambda: healthy(program, site.endpoints), seconds=60)


@pytest.fixture
def corrupt(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """Have a bento of which a part is gone or garbage; gives its version."""
    version = f"without-{request.param.replace('.', '-')}"
    bentos = site.stack.layout.bento_home / "bentos" / "probe"
    shutil.copytree(bentos / "good", bentos / version)
    manifest = bentos / version / "bento.yaml"
    if request.param == "bento.yaml":
        manifest.write_text("{")
    else:
        text = manifest.read_text().replace("probe_model:good", "probe_model:gone")
        manifest.write_text(text.replace("version: good", f"version: {version}"))
    yield version
    shutil.rmtree(bentos / version)


def refused(site: Site, version: str, policy: Path | None = None) -> Any:
    """Ask for a release that must fail; gives it, once it is seen that nothing else has changed."""
    stable, before = site.steady(SERVICE), site.observe(SERVICE).record
    with site.users(SERVICE) as load:
        release = site.release(version, service=SERVICE, policy=policy)
    assert release["state"] == "failed", release
    assert site.split(SERVICE) == {stable: 100}
    assert site.observe(SERVICE).record == before
    assert load.tally().failed() == 0
    assert set(attempts(release).values()) == {1}, "what cannot help is not tried again"
    revision = f"{SERVICE}-{release['id']}"
    assert not (site.stack.layout.revisions / revision).exists()
    assert not (site.stack.layout.logs / f"server-{revision}.log").exists()
    return release


def test_a_bento_that_does_not_exist(site: Site) -> None:
    release = refused(site, "nowhere")
    assert "there is no bento probe:nowhere" in release["reason"]
    assert list(attempts(release)) == ["retrieve", "finalize"]


@pytest.mark.parametrize("corrupt", ["bento.yaml", "model"], indirect=True)
def test_a_corrupt_bento(site: Site, corrupt: str) -> None:
    release = refused(site, corrupt)
    assert corrupt in release["reason"]
    assert list(attempts(release)) == ["retrieve", "finalize"]


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"windw": "4s"}, "spec.windw"),
        ({"checks": [{"name": "score", "query": "sum(up", "min": 1}]}, "score"),
        ({"checks": [{"name": "score", "preset": "error_rate"}]}, "spec.checks[0]"),
    ],
    ids=["unknown field", "bad PromQL", "no threshold"],
)
def test_a_policy_with_a_fault(
    site: Site, tmp_path: Path, fault: dict[str, object], named: str
) -> None:
    policy = site.with_policy(tmp_path, **fault)
    release = refused(site, "better", policy)
    assert named in release["reason"]
    if "query" not in str(fault):
        assert f"{policy}:" in release["reason"], "the file and its line are named"
    assert list(attempts(release)) == ["retrieve", "build", "canary", "finalize"]


def test_prometheus_does_not_answer_at_the_gate(site: Site, tmp_path: Path) -> None:
    stable = site.steady(SERVICE)
    policy = site.with_policy(tmp_path, timeout="5s")
    with site.users(SERVICE) as load, down(site, "prometheus"):
        release = site.release("better", service=SERVICE, policy=policy)
    assert (release["state"], release["verdict"]) == ("rolled_back", "inconclusive"), release
    assert "metrics" in release["reason"]
    assert site.split(SERVICE) == {stable: 100}
    assert load.tally().failed() == 0


def test_the_canarys_model_server_dies(site: Site, tmp_path: Path) -> None:
    stable = site.steady(SERVICE)
    policy = site.with_patience(tmp_path)
    with site.users(SERVICE) as load:
        asked = site.ask("better", service=SERVICE, policy=policy)
        until_judged(site, asked.id)
        canary = f"{SERVICE}-{asked.id}"
        site.kill(f"server-{canary}")
        release = site.ended(asked.id)
    assert release["state"] == "rolled_back", release
    assert "error_rate" in release["reason"]
    assert site.split(SERVICE) == {stable: 100}
    assert load.tally().failed(stable) == 0
    unanswered = {answer for answer in load.tally().counts if answer.failed}
    # The proxy answers for a dead server, and names the revision it could not reach.
    assert {answer.revision for answer in unanswered} <= {canary, ""}, unanswered


def test_envoy_dies(site: Site, tmp_path: Path) -> None:
    stable = site.steady(SERVICE)
    # A restart shows between two scrapes, and on a busy machine these lie seconds apart.
    restarts = {"name": "proxy_restarts", "preset": "proxy_restarts", "max": 0, "over": "20s"}
    policy = site.with_patience(tmp_path, checks=[restarts])
    with site.users(SERVICE) as load:
        asked = site.ask("better", service=SERVICE, policy=policy)
        until_judged(site, asked.id)
        site.kill("envoy")
        release = site.ended(asked.id)
        before = load.tally().sent(stable)
        assert wait_for(lambda: load.tally().sent(stable) > before + 20, seconds=60)
    assert release["state"] == "rolled_back", release
    assert "proxy_restarts" in release["reason"]
    assert site.split(SERVICE) == {stable: 100}
    failed = {answer.status for answer in load.tally().counts if answer.failed}
    assert failed <= {0}, "whoever got an answer got a good one"


def test_two_releases_at_once(site: Site) -> None:
    stable = site.steady(SERVICE)
    with site.users(SERVICE) as load:
        first = site.ask("bad", service=SERVICE, event_id="first")
        second = site.ask("bad", service=SERVICE, event_id="second")
        again = site.ask("bad", service=SERVICE, event_id="first")
        assert (first.status, second.status, again.status) == (202, 202, 200)
        assert again.id == first.id != second.id, "the same version may be tried again"
        site.catch(first.id, "canary")
        assert site.read(second.id)["state"] == "accepted"
        ended = [site.ended(first.id), site.ended(second.id)]
    assert [one["state"] for one in ended] == ["rolled_back", "rolled_back"], ended
    assert ended[0]["ended_at"] <= ended[1]["started_at"], "the second waits"
    asked = [one for one in site.releases() if one["event"]["id"] in {"first", "second"}]
    assert [one["id"] for one in asked] == [first.id, second.id]
    assert site.split(SERVICE) == {stable: 100}
    canaries = {f"{SERVICE}-{first.id}", f"{SERVICE}-{second.id}"}
    failed = {(answer.revision, answer.status) for answer in load.tally().counts if answer.failed}
    assert failed == {(canary, 500) for canary in canaries}
