"""Takes one release a step on: submits its run, follows it, and bears with its engine.

Nothing is written here: what is to be written is given back, so that many share a commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.protocol import Engine, RunRequest, RunState, RunStatus
from coalmine.launcher.facts import Facts, final_facts, final_state, read_facts
from coalmine.launcher.patience import Patience
from coalmine.launcher.recording import Told
from coalmine.launcher.release import OpenRelease, ReleaseState

__all__ = ["Change", "Driver"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written of a release.

    Attributes:
        release: The release.
        told: What is written.
        run: As its engine told of it; None where it is not its word.
    """

    release: OpenRelease
    told: Told
    run: RunStatus | None = None


class Driver:
    """Drives releases, each by one hand at a time.

    Args:
        engines: By their words.
        find_pipeline: From a pipeline's name to its file.
        patience: How long to wait for an engine that failed.
        on_trouble: Called when an engine failed, or what it said could not be written.
        on_step: Told a step's name, how it ended, and after how many seconds.
        on_end: Told the id of a release that has ended.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        find_pipeline: Callable[[str], Path],
        patience: Patience,
        *,
        on_trouble: Callable[[], None],
        on_step: Callable[[str, str, float], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._engines = engines
        self._find_pipeline = find_pipeline
        self._patience = patience
        self._on_trouble = on_trouble
        self._on_step = on_step
        self._on_end = on_end
        self._fresh: set[str] = set()
        self._recorded: dict[str, RunStatus] = {}
        self._cancelled: set[str] = set()

    def expect_none(self, releases: Iterable[str]) -> None:
        """Say that releases were begun a moment ago: whether they have a run need not be asked."""
        self._fresh.update(releases)

    def drive(self, release: OpenRelease) -> Change | None:
        """Take a release a step on; whatever fails is tried again when its time has come.

        Returns:
            What is to be written; None if nothing is new.
        """
        if self._patience.waits(release.id):
            return None
        try:
            return self._drive_on(release)
        except (CoalmineError, OSError) as error:
            return self._put_off(release, error)
        except Exception as error:  # one release that breaks must not hold up the others
            logger.exception("release %s broke", release.id, extra={"release_id": release.id})
            return self._put_off(release, error)

    def written(self, change: Change, new: Collection[str]) -> None:
        """Take note that a change is on disk.

        Args:
            change: The change.
            new: The steps whose end the ledger did not know: a restart counts none again.
        """
        release = change.release
        if change.run or change.told.state.ended:
            self._patience.forget(release.id)
        if change.told.state.ended:
            self._forget(change)
        elif change.run:
            self._recorded[release.id] = change.run
        for step in _times(change.run, new):
            self._on_step(*step)

    def not_written(self, change: Change, error: Exception) -> Told:
        """Take note that a change could not be written, and will be tried again.

        Returns:
            What to write in its place.
        """
        wait, _ = self._patience.failed(change.release.id, error)
        self._on_trouble()
        _log_wait(change.release, wait, error)
        return Told(facts=Facts(reason=f"is tried again: {_said(error)}"))

    def _drive_on(self, release: OpenRelease) -> Change | None:
        try:
            status = self._status(release)
        except InputError as error:
            return Change(release, Told(facts=Facts(reason=str(error)), state=ReleaseState.FAILED))
        change = self._change(release, status)
        if change is None:
            self._patience.forget(release.id)
        return change

    def _status(self, release: OpenRelease) -> RunStatus | None:
        fresh = self._is_fresh(release)
        engine = self._engine_of(release)
        if release.cancel_reason and release.id not in self._cancelled:
            engine.cancel(release.id)
            self._cancelled.add(release.id)
        status = None if fresh else engine.status(release.id)
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

    def _is_fresh(self, release: OpenRelease) -> bool:
        fresh = release.id in self._fresh
        if fresh:
            self._fresh.discard(release.id)
            extra = {"release_id": release.id, "service": release.service}
            logger.info("release %s begins", release.id, extra=extra)
        return fresh

    def _engine_of(self, release: OpenRelease) -> Engine:
        engine = self._engines.get(release.engine)
        if engine is None:
            raise CoalmineError(
                f"this launcher has no engine {release.engine}",
                fix=f"start it with --engine {release.engine}",
            )
        return engine

    def _change(self, release: OpenRelease, run: RunStatus | None) -> Change | None:
        if run is None or self._recorded.get(release.id) == run:
            return None
        if run.state is RunState.PENDING:  # of one that waits, that it does is all
            return Change(release, Told(submitted=True), run)
        facts = read_facts(run.tasks)
        if not run.state.ended:
            return Change(release, Told(run.tasks, facts, submitted=True), run)
        state, facts = final_state(run, facts), final_facts(run, facts)
        if state is ReleaseState.CANCELLED and release.cancel_reason:
            facts = replace(facts, reason=release.cancel_reason)
        return Change(release, Told(run.tasks, facts, state), run)

    def _forget(self, change: Change) -> None:
        release = change.release
        self._recorded.pop(release.id, None)
        self._cancelled.discard(release.id)
        self._on_end(release.id)
        extra = {
            "release_id": release.id,
            "service": release.service,
            "state": change.told.state.value,
            "reason": change.told.facts.reason,
        }
        logger.info("release %s: %s", release.id, change.told.state, extra=extra)

    def _put_off(self, release: OpenRelease, error: Exception) -> Change:
        wait, given_up = self._patience.failed(release.id, error)
        self._recorded.pop(release.id, None)  # or the trouble would stand there after its end
        self._on_trouble()
        if given_up and not release.submitted:
            seconds = f"{self._patience.submit_for:g} s"
            reason = f"{release.engine} did not take its run for {seconds}: {_said(error)}"
            return Change(release, Told(facts=Facts(reason=reason), state=ReleaseState.DEAD))
        _log_wait(release, wait, error)
        return Change(release, Told(facts=Facts(reason=f"is tried again: {_said(error)}")))


def _log_wait(release: OpenRelease, wait: float, error: Exception) -> None:
    extra = {"release_id": release.id, "service": release.service}
    logger.warning("release %s waits %.1f s: %r", release.id, wait, error, extra=extra)


def _times(run: RunStatus | None, new: Collection[str]) -> Iterator[tuple[str, str, float]]:
    """Give kind, end and seconds of each step that has ended; the turns of a loop are a kind.

    Args:
        run: The run; None counts for nothing.
        new: The steps that count.
    """
    for task in run.tasks if run else ():
        if task.name in new and task.started and task.ended:
            kind = task.name.partition("[")[0]
            yield kind, task.state.value, (task.ended - task.started).total_seconds()


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, CoalmineError | OSError) else repr(error)
