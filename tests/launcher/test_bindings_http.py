"""Bindings of a launcher that runs: what they do, and that they are read again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.launcher.graphs import waiting_pipeline

pytestmark = pytest.mark.integration

BINDINGS = """\
bindings:
  - name: main
    types: [dev.coalmine.release.requested.v1]
    filter: "!has(body.dry)"
    pipeline: release
    on_conflict: CONFLICT
    parameters:
      - {name: name, value: $(body.name)}
      - {name: service, value: $(body.name)}
      - {name: version, value: ""}
      - {name: percent, value: "10"}
"""


def test_conflicts_and_a_file_that_changes(launched: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "bindings.yaml"
    file.write_text(BINDINGS.replace("CONFLICT", "reject"))
    launcher = launched(waiting_pipeline(), real=True, bindings=file)
    first = launcher.post(id="1", name="iris").json()["id"]
    launcher.wait_for(lambda: launcher.releases()[0]["state"] == "running")
    rejected = launcher.post(id="2", name="iris")
    assert (rejected.status_code, rejected.headers["content-type"]) == (
        409,
        "application/problem+json",
    )
    assert first in rejected.json()["detail"]
    refused = launcher.post(id="3", name="iris", dry="1")
    assert (refused.status_code, "main: its filter is false" in refused.text) == (422, True)

    file.write_text(BINDINGS.replace("CONFLICT", "wait"))
    launcher.wait_for(lambda: "on_conflict" in httpx.get(f"{launcher.url}/healthz").text)
    assert "coalmine_bindings_stale 1.0" in httpx.get(f"{launcher.url}/metrics").text
    assert launcher.post(id="2", name="iris").status_code == 409
    assert "what was read before still holds" in launcher.log.read_text()

    file.write_text(BINDINGS.replace("CONFLICT", "supersede"))
    launcher.process.send_signal(signal.SIGHUP)
    launcher.wait_for(lambda: launcher.post(id="2", name="iris").status_code in {200, 202})
    second = launcher.post(id="2", name="iris").json()["id"]
    launcher.wait_for(lambda: launcher.releases()[1]["state"] == "running")
    one, two = launcher.releases()
    assert (one["id"], two["id"]) == (first, second)
    assert (one["state"], one["reason"]) == ("cancelled", f"superseded by {second}")
    assert one["ended_at"] <= two["started_at"]
    assert httpx.get(f"{launcher.url}/healthz").text == "ok\n"
