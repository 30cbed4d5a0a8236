"""A launcher that is killed or stopped in the middle of any task ends where it would have."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from coalmine.launcher.read import read_releases
from tests.launcher.graphs import waiting_pipeline

WORK = """
import os, pathlib, sys, time
folder = pathlib.Path({folder!r})
first = not (folder / 'begun-{name}').exists()
(folder / 'begun-{name}').touch()
time.sleep({seconds} if first else 0)
with (folder / 'effects').open('a') as file:
    file.write('{name}\\n')
if {output!r}:
    pathlib.Path(sys.argv[-1]).write_text({output!r})
"""
SLOW = 1.5
FOREVER = 600


def pipeline(folder: Path, slow: str = "", slowness: float = SLOW) -> dict[str, Any]:
    def code(name: str, output: str = "") -> str:
        seconds = slowness if name == slow else 0
        return WORK.format(folder=str(folder), name=name, output=output, seconds=seconds)

    return {
        "tasks": [
            {"name": "build", "code": code("build", "sha256:1"), "output": "image_digest"},
            {
                "name": "gate",
                "code": code("gate", "promote"),
                "output": "verdict",
                "after": "build",
            },
            {"name": "promote", "code": code("promote"), "when": "gate.verdict=promote"},
            {"name": "rollback", "code": code("rollback"), "when": "gate.verdict=rollback"},
        ],
        "exit": {"name": "finalize", "code": code("finalize", "promoted"), "output": "outcome"},
    }


def effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().split() if path.exists() else []


@pytest.mark.integration
@pytest.mark.parametrize("slow", ["build", "gate", "promote", "finalize"])
def test_kill_9_in_the_middle_of_a_task(
    launched: Callable[[dict[str, Any]], Any], tmp_path: Path, slow: str
) -> None:
    launcher = launched(pipeline(tmp_path, slow))
    assert launcher.post(name="iris").status_code == 202
    launcher.wait_for((tmp_path / f"begun-{slow}").exists)
    launcher.end(signal.SIGKILL)
    assert slow not in effects(tmp_path)
    assert read_releases(launcher.state)[0]["state"] == "running"
    launcher.start()
    [release] = launcher.wait_ended()
    assert release["state"] == "promoted", release
    assert effects(tmp_path) == ["build", "gate", "promote", "finalize"]
    attempts = {step["name"]: step["attempts"] for step in release["steps"]}
    assert attempts[slow] == 2
    assert sum(attempts.values()) == 5
    assert release["image_digest"] == "sha256:1"


@pytest.mark.integration
def test_sigterm_loses_nothing(launched: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    launcher = launched(pipeline(tmp_path, "gate"))
    first = launcher.post(name="iris").json()["id"]
    launcher.wait_for((tmp_path / "begun-gate").exists)
    second = launcher.post(id="2", name="iris").json()["id"]
    assert launcher.end(signal.SIGTERM) == 0
    assert effects(tmp_path) == ["build"]
    assert launcher.url == ""
    states = [(one["id"], one["state"]) for one in read_releases(launcher.state)]
    assert states == [(first, "running"), (second, "accepted")]
    launcher.start()
    one, two = launcher.wait_ended()
    assert (one["state"], two["state"]) == ("promoted", "promoted")
    assert effects(tmp_path) == ["build", "gate", "promote", "finalize"] * 2
    assert one["ended_at"] <= two["started_at"]


@pytest.mark.integration
def test_events_over_http(launched: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    launcher = launched(pipeline(tmp_path))
    first = launcher.post(name="iris", version="v1")
    again = launcher.post(name="iris", version="v1")
    other = launcher.post(id="2", name="iris", service="other")
    assert [first.status_code, again.status_code, other.status_code] == [202, 200, 202]
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert first.headers["location"] == first.json()["url"]
    releases = launcher.wait_ended()
    assert [one["state"] for one in releases] == ["promoted", "promoted"]
    assert len(effects(tmp_path)) == 8
    assert releases == read_releases(launcher.state)
    assert releases[0]["version"] == "v1"
    steps = {step["name"]: step["state"] for step in releases[0]["steps"]}
    assert steps["rollback"] == "skipped"
    assert steps["finalize"] == "succeeded"


@pytest.mark.integration
def test_one_event_sent_by_many_at_once(
    launched: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    launcher = launched(pipeline(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: launcher.post(id=str(n % 3), name="iris"), range(24)))
    assert sorted(answer.status_code for answer in answers) == [200] * 21 + [202] * 3
    assert len({answer.json()["id"] for answer in answers}) == 3
    releases = launcher.wait_ended()
    assert [one["state"] for one in releases] == ["promoted"] * 3
    assert effects(tmp_path) == ["build", "gate", "promote", "finalize"] * 3
    starts = [one["started_at"] for one in releases]
    ends = [one["ended_at"] for one in releases]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


@pytest.mark.integration
def test_cancel_a_running_release_and_one_that_waits(
    launched: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    graph = pipeline(tmp_path, "gate", FOREVER)
    graph["exit"]["code"] = graph["exit"]["code"].replace("promoted", "rolled_back")
    launcher = launched(graph)
    first = launcher.post(name="iris").json()
    second = launcher.post(id="2", name="iris").json()
    launcher.wait_for((tmp_path / "begun-gate").exists)
    waits = httpx.post(f"{second['url']}/cancel")
    assert (waits.status_code, waits.json()) == (200, {**second, "state": "cancelled"})
    runs = httpx.post(f"{first['url']}/cancel")
    assert (runs.status_code, runs.json()) == (202, {**first, "state": "running"})
    one, two = launcher.wait_ended()
    assert (one["state"], one["reason"]) == ("cancelled", "cancelled on request")
    assert (two["state"], two["reason"]) == ("cancelled", "cancelled on request")
    assert effects(tmp_path) == ["build", "finalize"]
    states = {step["name"]: step["state"] for step in one["steps"]}
    assert (states["gate"], states["finalize"]) == ("cancelled", "succeeded")
    assert httpx.post(f"{first['url']}/cancel").status_code == 200


@pytest.mark.integration
def test_what_has_ended_cannot_be_cancelled(
    launched: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    launcher = launched(pipeline(tmp_path))
    url = launcher.post(name="iris").json()["url"]
    launcher.wait_ended()
    refused = httpx.post(f"{url}/cancel")
    assert refused.status_code == 409
    assert "has ended already: promoted" in refused.json()["detail"]
    assert launcher.releases()[0]["state"] == "promoted"


def watchers(release_id: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if release_id in (process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.integration
def test_ctrl_c_ends_it_with_130(launched: Callable[..., Any]) -> None:
    """The real command: its way of ending is not the harness's."""
    launcher = launched(waiting_pipeline(), real=True)
    release_id = launcher.post(id=str(uuid.uuid4()), name="iris").json()["id"]
    launcher.wait_for(lambda: bool(watchers(release_id)))
    assert launcher.end(signal.SIGINT) == 130
    assert watchers(release_id) == []
    assert launcher.url == ""
    assert "Traceback" not in launcher.log.read_text()
    [release] = read_releases(launcher.state)
    assert (release["id"], release["state"]) == (release_id, "running")
