"""Takes one release a step on: submits its run, follows it, ends it, and bears with its engine."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.protocol import Engine, RunRequest, RunState, RunStatus, TaskStatus
from coalmine.launcher.facts import Facts, final_facts, final_state, read_facts
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.patience import Patience
from coalmine.launcher.release import OpenRelease, ReleaseState

__all__ = ["Driver"]

logger = logging.getLogger(__name__)


class Driver:
    """Drives releases, each by one hand at a time.

    Args:
        ledger: Where releases stand.
        engines: By their words.
        find_pipeline: From a pipeline's name to its file.
        patience: How long to wait for an engine that failed.
        on_trouble: Called when an engine or the ledger failed.
        on_step: Told a step's name, how it ended, and after how many seconds.
        on_end: Told the id of a release that has ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        engines: Mapping[str, Engine],
        find_pipeline: Callable[[str], Path],
        patience: Patience,
        *,
        on_trouble: Callable[[], None],
        on_step: Callable[[str, str, float], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._engines = engines
        self._find_pipeline = find_pipeline
        self._patience = patience
        self._on_trouble = on_trouble
        self._on_step = on_step
        self._on_end = on_end
        self._fresh: set[str] = set()
        self._taken: list[str] | None = None
        self._recorded: dict[str, RunStatus] = {}
        self._cancelled: set[str] = set()

    def expect_none(self, releases: Iterable[str]) -> None:
        """Say that releases were begun a moment ago: whether they have a run need not be asked."""
        self._fresh.update(releases)

    @contextlib.contextmanager
    def noted_together(self) -> Iterator[None]:
        """Write in one commit which runs their engines took: of those that wait it is all."""
        self._taken = []
        try:
            yield
        finally:
            taken, self._taken = self._taken, None
            if taken:
                self._note_submitted(taken)

    def drive(self, release: OpenRelease) -> None:
        """Take a release a step on; whatever fails is tried again when its time has come."""
        if self._patience.waits(release.id):
            return
        try:
            self._drive_on(release)
        except (CoalmineError, OSError) as error:
            self._put_off(release, error)
        except Exception as error:  # one release that breaks must not hold up the others
            logger.exception("release %s broke", release.id, extra={"release_id": release.id})
            self._put_off(release, error)

    def _note_submitted(self, releases: list[str]) -> None:
        try:
            self._ledger.submitted(releases)
        except CoalmineError:
            for one in releases:  # or it would never be written while nothing changes
                self._recorded.pop(one, None)
            raise

    def _drive_on(self, release: OpenRelease) -> None:
        try:
            status = self._status(release)
        except InputError as error:
            self._end(release, (), Facts(reason=str(error)), ReleaseState.FAILED)
            return
        self._follow(release, status)
        self._patience.forget(release.id)

    def _status(self, release: OpenRelease) -> RunStatus | None:
        engine = self._engine_of(release)
        if release.cancel_reason and release.id not in self._cancelled:
            engine.cancel(release.id)
            self._cancelled.add(release.id)
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

    def _engine_of(self, release: OpenRelease) -> Engine:
        engine = self._engines.get(release.engine)
        if engine is None:
            raise CoalmineError(
                f"this launcher has no engine {release.engine}",
                fix=f"start it with --engine {release.engine}",
            )
        return engine

    def _follow(self, release: OpenRelease, run: RunStatus | None) -> None:
        if run is None or self._recorded.get(release.id) == run:
            return
        if self._taken is not None and run.state is RunState.PENDING:
            self._taken.append(release.id)
            self._recorded[release.id] = run
            return
        if run.state.ended:
            new = self._end_by(release, run)
        else:
            facts = read_facts(run.tasks)
            new = self._ledger.record(release.id, run.tasks, facts, submitted=True)
            self._recorded[release.id] = run
        for step in _times(run, new):
            self._on_step(*step)

    def _end_by(self, release: OpenRelease, run: RunStatus) -> frozenset[str]:
        facts = read_facts(run.tasks)
        state, facts = final_state(run, facts), final_facts(run, facts)
        if state is ReleaseState.CANCELLED and release.cancel_reason:
            facts = replace(facts, reason=release.cancel_reason)
        return self._end(release, run.tasks, facts, state)

    def _end(
        self,
        release: OpenRelease,
        tasks: tuple[TaskStatus, ...],
        facts: Facts,
        state: ReleaseState,
    ) -> frozenset[str]:
        new = self._ledger.record(release.id, tasks, facts, state)
        self._recorded.pop(release.id, None)
        self._patience.forget(release.id)
        self._cancelled.discard(release.id)
        self._on_end(release.id)
        extra = {
            "release_id": release.id,
            "service": release.service,
            "state": state.value,
            "reason": facts.reason,
        }
        logger.info("release %s: %s", release.id, state, extra=extra)
        return new

    def _put_off(self, release: OpenRelease, error: Exception) -> None:
        wait, given_up = self._patience.failed(release.id, error)
        self._on_trouble()
        if given_up and not release.submitted:
            self._bury(release, error)
            return
        extra = {"release_id": release.id, "service": release.service}
        logger.warning("release %s waits %.1f s: %r", release.id, wait, error, extra=extra)
        with contextlib.suppress(CoalmineError):  # a ledger that fails must not hold up the others
            self._ledger.record(release.id, (), Facts(reason=f"is tried again: {_said(error)}"))

    def _bury(self, release: OpenRelease, error: Exception) -> None:
        seconds = f"{self._patience.submit_for:g} s"
        reason = f"{release.engine} did not take its run for {seconds}: {_said(error)}"
        with contextlib.suppress(CoalmineError):
            self._end(release, (), Facts(reason=reason), ReleaseState.DEAD)


def _times(run: RunStatus, new: frozenset[str]) -> Iterator[tuple[str, str, float]]:
    """Give kind, end and seconds of each step that has ended; the turns of a loop are a kind.

    Args:
        run: The run.
        new: The steps whose end the ledger did not know: a restart counts none again.
    """
    for task in run.tasks:
        if task.name in new and task.started and task.ended:
            kind = task.name.partition("[")[0]
            yield kind, task.state.value, (task.ended - task.started).total_seconds()


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, CoalmineError | OSError) else repr(error)
