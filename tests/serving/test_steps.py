"""The serving steps as an engine calls them, over a real bento and BentoML's own server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from coalmine._base.errors import InputError
from coalmine.serving.select import open_backend
from coalmine.stack.stack import Stack
from coalmine.steps import wiring
from coalmine.steps.contract import Surroundings, load_step
from coalmine.steps.runner import run_step

pytestmark = pytest.mark.integration


@pytest.fixture
def step(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, str]]]:
    """Run a step by name with flat strings; gives its exit code and its outputs."""
    monkeypatch.setattr(wiring, "_unpack", shutil.copytree)

    def run(name: str, *outputs: str, **values: str) -> tuple[int, dict[str, str]]:
        paths = {output: tmp_path / "outputs" / output for output in outputs}
        code = run_step(
            load_step(name),
            values=values,
            output_paths=paths,
            environ={},
            surroundings=Surroundings(state=stack.layout.state),
        )
        return code, {key: path.read_text() for key, path in paths.items() if path.exists()}

    return run


def test_steps_release_a_real_bento(
    stack: Stack,
    step: Callable[..., tuple[int, dict[str, str]]],
    build_bento: Callable[..., Path],
) -> None:
    good = build_bento("v1")
    broken = build_bento("v2", broken=True)
    outputs = ("canary", "stable", "since")
    code, given = step(
        "canary", *outputs, release_id="r1", service="echo", image=str(good), version="v1"
    )
    assert (code, given["canary"], given["stable"]) == (0, "echo-r1", "")
    age = datetime.now(UTC) - datetime.fromisoformat(given["since"])
    assert timedelta() <= age < timedelta(seconds=30)
    assert step("promote", "outcome", release_id="r1", service="echo") == (
        0,
        {"outcome": "promoted"},
    )
    url = stack.endpoints().proxy + "/echo/predict"
    answer = httpx.post(url, json={"text": "hello"}, trust_env=False, timeout=10)
    assert (answer.text, answer.headers["x-coalmine-revision"]) == ("hello from v1", "echo-r1")

    code, _ = step("canary", release_id="r2", service="echo", image=str(broken), version="v2")
    assert code == 1
    for name, release, outcome in [
        ("finalize", "r2", "removed"),
        ("rollback", "r2", "removed"),
        ("finalize", "r1", "unchanged"),
        ("rollback", "r0", "unchanged"),
    ]:
        found = step(name, "outcome", release_id=release, service="echo")
        assert found == (0, {"outcome": outcome})
    assert httpx.post(url, json={"text": "a"}, trust_env=False, timeout=10).is_success


def test_an_unknown_backend_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'nonesuch' is no serving backend"):
        open_backend("nonesuch", state=tmp_path, unpack=lambda source, into: into)
