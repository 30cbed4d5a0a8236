"""Sees to it that an accepted release becomes exactly one run, and follows the run to its end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.protocol import Engine, RunRequest, RunState, RunStatus, TaskStatus
from coalmine.launcher.facts import Facts, final_facts, final_state, read_facts
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.patience import SUBMIT_SECONDS, Patience
from coalmine.launcher.release import OpenRelease, ReleaseState

__all__ = ["Dispatcher"]

logger = logging.getLogger(__name__)

ACTIVE_SECONDS = 0.2
IDLE_SECONDS = 2.0
CHECK_IN_SECONDS = 3.0
SUBMITTERS = 8
MOST_BEGUN = 100
"""At once; the others follow in the next round, so that none waits for all."""


class Dispatcher:
    """Drives every open release; one thread, so that no two hands touch one release.

    Args:
        ledger: Where releases stand.
        engines: By their words.
        find_pipeline: From a pipeline's name to its file.
        monotonic: Seconds that only grow.
        submit_for: Seconds for which a run is submitted again and again before it is given up.
        on_trouble: Called when an engine or the ledger failed.
        on_step: Told a step's name, how it ended, and after how many seconds.
        on_end: Told the id of a release that has ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        engines: Mapping[str, Engine],
        find_pipeline: Callable[[str], Path],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        submit_for: float = SUBMIT_SECONDS,
        on_trouble: Callable[[], None] = lambda: None,
        on_step: Callable[[str, str, float], None] = lambda *_: None,
        on_end: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._engines = engines
        self._find_pipeline = find_pipeline
        self._monotonic = monotonic
        self._fresh: set[str] = set()
        self._taken: list[str] | None = None
        self._on_trouble = on_trouble
        self._on_step = on_step
        self._on_end = on_end
        self._patience = Patience(submit_for, monotonic)
        self._recorded: dict[str, RunStatus] = {}
        self._cancelled: set[str] = set()
        self._next_check_in = monotonic()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin; whatever the ledger has open is taken up again."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current round; what is open is taken up at the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Tell that there may be something new."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        """Tell whether the thread works."""
        return self._thread.is_alive() and not self._stop.is_set()

    def tick(self) -> bool:
        """Do one round; tells whether anything is open."""
        self._check_in()
        for release in self._ledger.running():
            self._drive(release)
        begun = set(self._ledger.begin(MOST_BEGUN))
        if begun:
            self._wake.set()  # there may be more than could begin at once
            self._begin([one for one in self._ledger.running() if one.id in begun])
        return bool(begun) or self._ledger.any_open()

    def _begin(self, releases: list[OpenRelease]) -> None:
        for release in releases:
            extra = {"release_id": release.id, "service": release.service}
            logger.info("release %s begins", release.id, extra=extra)
        self._fresh.update(one.id for one in releases)
        far = [one for one in releases if self._is_far(one)]
        for release in releases:
            if release not in far:
                self._drive(release)
        if far:
            self._begin_far(far)

    def _begin_far(self, releases: list[OpenRelease]) -> None:
        """Submit to an engine behind a network: several at a time, each in one hand still.

        That the engine has them is one commit for all; of a run that waits there is no more to say.
        """
        self._taken = []
        with ThreadPoolExecutor(min(SUBMITTERS, len(releases)), "submit") as hands:
            list(hands.map(self._drive, releases))
        taken, self._taken = self._taken, None
        if taken:
            self._note_submitted(taken)

    def _note_submitted(self, releases: list[str]) -> None:
        try:
            self._ledger.submitted(releases)
        except CoalmineError:
            for one in releases:  # or it would never be written while nothing changes
                self._recorded.pop(one, None)
            raise

    def _is_far(self, release: OpenRelease) -> bool:
        engine = self._engines.get(release.engine)
        return engine is not None and engine.portable

    def _check_in(self) -> None:
        now = self._monotonic()
        if now < self._next_check_in:
            return
        portable = [name for name, engine in self._engines.items() if engine.portable]
        if taken := self._ledger.check_in(portable):
            logger.warning("took over %s runs of a launcher that is gone", taken)
        self._next_check_in = now + CHECK_IN_SECONDS

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            active = False
            try:
                active = self.tick()
            except CoalmineError as error:
                logger.error(error.message, extra={"fix": error.fix})  # noqa: TRY400
                self._on_trouble()
            except Exception:  # the thread must live on: all services depend on it
                logger.exception("a round of the dispatcher broke")
                self._on_trouble()
            self._wake.wait(ACTIVE_SECONDS if active else IDLE_SECONDS)

    def _drive(self, release: OpenRelease) -> None:
        if self._patience.waits(release.id):
            return
        try:
            self._drive_on(release)
        except (CoalmineError, OSError) as error:
            self._put_off(release, error)
        except Exception as error:  # one release that breaks must not hold up the others
            logger.exception("release %s broke", release.id, extra={"release_id": release.id})
            self._put_off(release, error)

    def _drive_on(self, release: OpenRelease) -> None:
        try:
            status = self._status(release)
        except InputError as error:
            self._end(release, (), Facts(reason=str(error)), ReleaseState.FAILED)
            return
        self._follow(release, status)
        self._patience.forget(release.id)

    def _status(self, release: OpenRelease) -> RunStatus | None:
        engine = self._engines.get(release.engine)
        if engine is None:
            raise CoalmineError(
                f"this launcher has no engine {release.engine}",
                fix=f"start it with --engine {release.engine}",
            )
        if release.cancel_reason and release.id not in self._cancelled:
            engine.cancel(release.id)
            self._cancelled.add(release.id)
        # What was begun a moment ago was never submitted: that need not be asked.
        status = None if release.id in self._fresh else engine.status(release.id)
        self._fresh.discard(release.id)
        if status is None and release.submitted:
            raise InputError(
                f"its run is gone from {release.engine}: it was deleted there",
                fix="look for its canary, and ask for the version again by a new event",
            )
        if status is None:
            pipeline = self._find_pipeline(release.pipeline)
            engine.submit(RunRequest(release.id, pipeline, release.parameters))
            status = engine.status(release.id)
        return status

    def _follow(self, release: OpenRelease, run: RunStatus | None) -> None:
        if run is None or self._recorded.get(release.id) == run:
            return
        if self._taken is not None and run.state is RunState.PENDING:
            self._taken.append(release.id)
            self._recorded[release.id] = run
            return
        facts = read_facts(run.tasks)
        before = self._recorded.get(release.id)
        if run.state.ended:
            state = final_state(run, facts)
            facts = final_facts(run, facts)
            if state is ReleaseState.CANCELLED and release.cancel_reason:
                facts = replace(facts, reason=release.cancel_reason)
            self._end(release, run.tasks, facts, state)
        else:
            self._ledger.record(release.id, run.tasks, facts, submitted=True)
            self._recorded[release.id] = run
        self._tell_steps(before, run)

    def _tell_steps(self, before: RunStatus | None, run: RunStatus) -> None:
        known = {task.name for task in before.tasks if task.state.ended} if before else set()
        for task in run.tasks:
            if task.state.ended and task.started and task.ended and task.name not in known:
                seconds = (task.ended - task.started).total_seconds()
                self._on_step(_kind(task.name), task.state.value, seconds)

    def _end(
        self,
        release: OpenRelease,
        tasks: tuple[TaskStatus, ...],
        facts: Facts,
        state: ReleaseState,
    ) -> None:
        self._ledger.record(release.id, tasks, facts, state)
        self._recorded.pop(release.id, None)
        self._patience.forget(release.id)
        self._cancelled.discard(release.id)
        self._wake.set()
        self._on_end(release.id)
        logger.info(
            "release %s: %s",
            release.id,
            state,
            extra={
                "release_id": release.id,
                "service": release.service,
                "state": state.value,
                "reason": facts.reason,
            },
        )

    def _put_off(self, release: OpenRelease, error: Exception) -> None:
        wait, given_up = self._patience.failed(release.id, error)
        self._on_trouble()
        if given_up and not release.submitted:
            self._bury(release, error)
            return
        logger.warning(
            "release %s waits %.1f s: %r",
            release.id,
            wait,
            error,
            extra={"release_id": release.id, "service": release.service},
        )
        with contextlib.suppress(CoalmineError):  # a ledger that fails must not hold up the others
            self._ledger.record(release.id, (), Facts(reason=f"is tried again: {_said(error)}"))

    def _bury(self, release: OpenRelease, error: Exception) -> None:
        seconds = f"{self._patience.submit_for:g} s"
        reason = f"{release.engine} did not take its run for {seconds}: {_said(error)}"
        with contextlib.suppress(CoalmineError):
            self._end(release, (), Facts(reason=reason), ReleaseState.DEAD)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, CoalmineError | OSError) else repr(error)


def _kind(task: str) -> str:
    """Give a task's name without the number of its turn in a loop, so that counts stay few."""
    return task.partition("[")[0]
