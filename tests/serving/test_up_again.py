"""After down and up the same versions serve, and nothing says so before they do."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from coalmine._base.errors import CoalmineError
from coalmine.serving.local import LocalServing
from coalmine.stack.stack import LauncherSettings, Stack

pytestmark = pytest.mark.integration


def served(stack: Stack, backend: LocalServing, release: str, kind: str) -> Path:
    """Release a version; then it is changed to another kind."""
    backend.apply_canary(
        service="iris", image=f"{release}:ok", version=release, percent=50, release_id=release
    )
    model = stack.layout.revisions / f"iris-{release}" / "image" / "bento" / "model.json"
    model.write_text(model.read_text().replace('"ok"', f'"{kind}"'))
    return model


def test_a_start_ends_when_the_routed_servers_answer(
    stack: Stack, backend: LocalServing, prometheus_bin: Path
) -> None:
    served(stack, backend, "r1", "late")
    backend.promote(service="iris", release_id="r1")
    served(stack, backend, "r2", "crash")
    stack.stop()
    endpoints = stack.start(prometheus=prometheus_bin)
    answers = {
        (answer.headers["x-coalmine-revision"], answer.status_code)
        for answer in (
            httpx.get(endpoints.proxy + "/iris/predict", trust_env=False) for _ in range(40)
        )
    }
    assert answers == {("iris-r1", 200), ("iris-r2", 503)}


def test_a_server_that_does_not_come_back_is_told_and_the_launcher_starts(
    stack: Stack, backend: LocalServing, prometheus_bin: Path
) -> None:
    served(stack, backend, "r1", "never")
    backend.promote(service="iris", release_id="r1")
    stack.stop()
    impatient = Stack(stack.layout.state, ready_seconds=2)
    with pytest.raises(CoalmineError, match="the server of iris-r1 does not answer after 2 s"):
        impatient.start(prometheus=prometheus_bin, launcher=LauncherSettings())
    assert httpx.get(stack.endpoints().launcher + "/readyz", trust_env=False).is_success
