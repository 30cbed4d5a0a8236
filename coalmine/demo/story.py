"""The demo: one stack, one load, three releases."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from coalmine._base.errors import CoalmineError, InputError
from coalmine.demo.load import Load, Tally
from coalmine.demo.summary import Chapter, ReleaseRow, Summary, problems_of, row_of

__all__ = ["CHAPTERS", "SERVICE", "Narrator", "Scene", "run_demo"]

SERVICE = "iris_classifier"
CHAPTERS = (
    Chapter("v1", "a modest model, the first of its service", "promoted"),
    Chapter("v2", "a better model", "promoted"),
    Chapter("v3", "a model that raises on about 30 % of the requests", "rolled_back", failing=True),
)
BODIES = (
    {"features": [[5.1, 3.5, 1.4, 0.2]]},
    {"features": [[6.4, 3.2, 4.5, 1.5]]},
    {"features": [[6.3, 3.3, 6.0, 2.5], [4.9, 3.0, 1.4, 0.2]]},
    {"features": [[5.8, 2.7, 5.1, 1.9]]},
)
POLICY = "demo"
ENDED = {"promoted", "rolled_back", "failed", "cancelled"}
RELEASE_SECONDS = 200.0
MARK = ".coalmine-demo"
"""Says that a folder is a demo's."""
LOCK = ".coalmine-demo.lock"
KEPT = {"bentoml", MARK, LOCK}
"""What of an earlier demo's state is used again: training anew would only cost time."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One release at one moment.

    Attributes:
        number: 1 for the first.
        chapter: What it is and what must become of it.
        release: As ``coalmine runs -o json`` shows it.
        gate: The gate's evidence so far; empty before it began.
        tally: What the users have seen so far.
    """

    number: int
    chapter: Chapter
    release: Mapping[str, Any]
    gate: Mapping[str, Any]
    tally: Tally


class Narrator(Protocol):
    """Tells the people at the terminal what goes on."""

    def say(self, line: str) -> None:
        """Tell one thing that has happened."""

    def show(self, scene: Scene) -> None:
        """Show how a release goes; called several times a second."""

    def sum_up(self, summary: Summary) -> None:
        """Show what came of it all."""


def run_demo(state: Path, narrator: Narrator, *, rate: float) -> Summary:
    """Release three models on this machine under load, and stop everything again.

    Args:
        state: The state folder: a new one, or an earlier demo's, whose traces are removed.
        narrator: Who tells of it.
        rate: Requests a second that the users send.

    Raises:
        InputError: The folder holds something else; nothing in it was touched.
        CoalmineError: Another demo runs there, a part could not be started, or a release came to
            no end.
    """
    with _claimed(state):
        return _run_demo(state, narrator, rate)


def _run_demo(state: Path, narrator: Narrator, rate: float) -> Summary:
    from coalmine.demo.bentos import build_demo_bentos  # noqa: PLC0415 - imported when it is run
    from coalmine.stack.layout import Layout  # noqa: PLC0415
    from coalmine.stack.stack import LauncherSettings, Stack  # noqa: PLC0415

    stack = Stack(state)
    stack.stop()
    _clear(state)
    narrator.say("training three Iris classifiers and saving them as bentos")
    build_demo_bentos(Layout(state).bento_home)
    narrator.say("starting Envoy, Prometheus and the launcher")
    try:
        endpoints = stack.start(launcher=LauncherSettings(policy=POLICY), bound=True)
        narrator.say(
            f"launcher {endpoints.launcher}   service {endpoints.proxy}/{SERVICE}   "
            f"Prometheus {endpoints.prometheus}"
        )
        url = f"{endpoints.proxy}/{SERVICE}/predict"
        with Load(url, BODIES, rate=rate) as load:
            stage = _Stage(state, endpoints.launcher, load, narrator)
            rows = tuple(stage.release(n, chapter) for n, chapter in enumerate(CHAPTERS, 1))
            _until_more_answers(load, rows[-1], by=int(3 * rate))
            rows = tuple(stage.with_report(row) for row in rows)
        summary = Summary(rows, load.tally(), ())
    finally:
        narrator.say("stopping everything that was started")
        stack.stop()
    problems = problems_of(rows, summary.tally, window_seconds=_window_seconds(state, rows))
    summary = Summary(rows, summary.tally, problems)
    narrator.sum_up(summary)
    return summary


class _Stage:
    """What one release after the other is played on."""

    def __init__(self, state: Path, launcher: str, load: Load, narrator: Narrator) -> None:
        self._state = state
        self._launcher = launcher
        self._load = load
        self._narrator = narrator

    def release(self, number: int, chapter: Chapter) -> ReleaseRow:
        """Ask for one release and follow it to its end."""
        from coalmine.events.event import new_event  # noqa: PLC0415 - imported when it is run
        from coalmine.events.send import send_event  # noqa: PLC0415

        self._narrator.say(f"release {number}: {SERVICE}:{chapter.version}, {chapter.about}")
        data = {"name": SERVICE, "version": chapter.version}
        answer = send_event(self._launcher, new_event(data=data, source="/coalmine/demo"))
        return row_of(chapter, self._follow(number, chapter, answer.id))

    def with_report(self, row: ReleaseRow) -> ReleaseRow:
        """Write a release's report; later than its end, so that it shows the time after, too."""
        return replace(row, report=self._report(row.release_id))

    def _follow(self, number: int, chapter: Chapter, release_id: str) -> Mapping[str, Any]:
        from coalmine.launcher.read import read_release  # noqa: PLC0415 - imported when it is run

        def look() -> Scene:
            release = read_release(self._state, release_id)
            gate = _evidence(self._state, release_id)
            return Scene(number, chapter, release, gate, self._load.tally())

        return _poll(look, self._narrator.show).release

    def _report(self, release_id: str) -> str:
        command = [sys.executable, "-m", "coalmine", "report", release_id]
        done = subprocess.run(
            [*command, "--state", str(self._state)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CoalmineError(f"no report of release {release_id}: {done.stderr.strip()}")
        return done.stdout.strip()


def _poll(look: Callable[[], Scene], show: Callable[[Scene], None]) -> Scene:
    deadline = time.monotonic() + RELEASE_SECONDS
    while True:
        scene = look()
        show(scene)
        if scene.release["state"] in ENDED:
            return scene
        if time.monotonic() > deadline:
            raise CoalmineError(
                f"release {scene.release['id']} did not end within {RELEASE_SECONDS:.0f} s",
                fix="see what its steps say below the state folder's runs/",
            )
        time.sleep(0.2)


def _until_more_answers(load: Load, last: ReleaseRow, *, by: int) -> None:
    """Let users call on after the last release: the stable version has to serve on."""
    others = load.tally().sent() - load.tally().sent(last.revision)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        tally = load.tally()
        if tally.sent() - tally.sent(last.revision) >= others + by:
            return
        time.sleep(0.05)


@contextmanager
def _claimed(state: Path) -> Iterator[None]:
    """Hold a folder for one demo; a folder that is not a demo's is nobody's to clear."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - imported when it is run

    mark = state / MARK
    if state.exists() and any(state.iterdir()) and not mark.exists():
        raise InputError(
            f"{state} holds something else than a demo, which would be removed",
            field="--state",
            fix="name a folder that is empty or not there yet",
        )
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / LOCK, timeout=0):
            mark.touch()
            yield
    except Timeout:
        raise CoalmineError(
            f"a demo is running with its state in {state}",
            fix="wait for its end, or name another folder with --state",
        ) from None


def _clear(state: Path) -> None:
    for entry in state.iterdir():
        if entry.name in KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _evidence(state: Path, release_id: str) -> Mapping[str, Any]:
    from coalmine.stack.layout import Layout  # noqa: PLC0415 - imported when it is run

    try:
        found = json.loads((Layout(state).releases / release_id / "gate.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _window_seconds(state: Path, rows: tuple[ReleaseRow, ...]) -> float:
    """Read the window from what the gate itself wrote down: the policy as it was applied."""
    policy = _evidence(state, rows[-1].release_id).get("policy", {})
    return float(policy.get("window", 0.0))
