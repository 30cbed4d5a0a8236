"""Releases from Python, against a launcher that runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import coalmine
from coalmine._base.errors import CoalmineError, InputError
from tests.launcher.conftest import Launched

WRITE = """import pathlib, sys, time
time.sleep(60 if sys.argv[1] == 'slow' else 0)
pathlib.Path(sys.argv[-1]).write_text('promote')
"""
END = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text({!r})"
PIPELINE = {
    "tasks": [{"name": "gate", "code": WRITE, "output": "verdict"}],
    "exit": {"name": "finalize", "code": END.format("promoted"), "output": "outcome"},
}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    made = Launched(tmp_path_factory.mktemp("handle"), PIPELINE)
    made.start()
    yield made
    made.stop()


@pytest.mark.integration
def test_released_and_waited_for(launcher: Launched) -> None:
    handle = coalmine.release("iris_classifier:latest", service="iris", state=launcher.state)
    same = coalmine.release("iris:v1", launcher=launcher.url, event_id="1", percent=20)
    again = coalmine.release("iris:v1", launcher=launcher.url, event_id="1", percent=20)
    assert same.id == again.id != handle.id
    ended = handle.wait(timeout=60)
    assert (ended["state"], ended["service"]) == ("promoted", "iris")
    assert handle.watch(timeout=60)["id"] == handle.id
    shown = handle._repr_html_()
    assert "<td>gate</td><td>succeeded</td>" in shown
    assert "promoted" in shown
    assert handle.id in repr(handle)
    with pytest.raises(InputError, match="has ended already: promoted"):
        handle.cancel()
    with pytest.raises(InputError, match="promoted"):
        handle.retry()


@pytest.mark.integration
def test_a_pipeline_that_is_not_offered_is_refused(launcher: Launched) -> None:
    with pytest.raises(InputError, match="'nonesuch', which the binding release does not offer"):
        coalmine.release("iris", pipeline="nonesuch", launcher=launcher.url)
    asked = coalmine.release("iris", service="named", pipeline="release", launcher=launcher.url)
    assert asked.wait(timeout=60)["state"] == "promoted"


@pytest.mark.integration
def test_cancelled_while_it_is_watched(launcher: Launched) -> None:
    handle = coalmine.release("iris", service="slow", state=launcher.state)
    with pytest.raises(TimeoutError):
        handle.wait(timeout=0.1)
    assert handle.cancel() in {"running", "cancelled"}
    assert handle.wait(timeout=60)["ended_at"]


def test_what_cannot_be_asked_for(launcher: Launched, tmp_path: Path) -> None:
    with pytest.raises(CoalmineError, match="no launcher runs"):
        coalmine.release("iris", state=tmp_path)
    with pytest.raises(InputError, match="'Iris' is no legal name"):
        coalmine.release("Iris", launcher=launcher.url)
    gone = coalmine.Release("r1", "http://127.0.0.1:1")
    assert "does not answer" in gone._repr_html_()
    with pytest.raises(InputError, match="there is no release r9"):
        coalmine.Release("r9", launcher.url).wait()


def test_import_alone_brings_nothing() -> None:
    code = "import coalmine, sys; print([m for m in ('httpx', 'rich', 'yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="nothing"):
        _ = coalmine.nothing  # type: ignore[attr-defined]
