"""What a run tells of its release: read from its tasks' outputs by name, no task known by name.

What became of the service (`Facts.outcome`) and what became of the release (`final_state`) are two
things. A canary that had its share when a task failed is taken away by the task at the end, and the
service was rolled back; the release has failed all the same, for nobody has judged it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from coalmine.engines.protocol import RunState, RunStatus, TaskStatus
from coalmine.launcher.release import ReleaseState

__all__ = ["Facts", "final_facts", "final_state", "read_facts"]

PROMOTED = "promoted"
GONE = frozenset({"rolled_back", "removed"})
"""Outcomes by which the canary was taken away: with traffic, and before it had any."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a release; empty while it is not.

    Attributes:
        version: The bento's version, once it is resolved.
        image_digest: Of the image that was built.
        verdict: The gate's.
        reason: Why, in one sentence for the user.
        outcome: What the release came to with its service.
    """

    version: str = ""
    image_digest: str = ""
    verdict: str = ""
    reason: str = ""
    outcome: str = ""


def read_facts(tasks: Iterable[TaskStatus]) -> Facts:
    """Collect the outputs that bear a fact's name; the last task that has one wins.

    But a promotion stands, whatever a later task says of its own part, and a task that had nothing
    to do with the service takes nothing back.
    """
    names = {spec.name for spec in fields(Facts)}
    found = Facts()
    for task in tasks:
        said = {name: text for name, text in task.outputs.items() if name in names and text}
        if _weight(said.get("outcome", "")) < _weight(found.outcome):
            said.pop("outcome", None)
        found = replace(found, **said)
    return found


def _weight(outcome: str) -> int:
    if outcome == PROMOTED:
        return 3
    return 2 if outcome in GONE else bool(outcome)


def final_state(run: RunStatus, facts: Facts) -> ReleaseState:
    """Decide what a release came to when its run has ended. Pure, and the same for every engine.

    A promotion stands, whatever came after it: the canary is stable, and users are served by it.
    A release is rolled back if that is what its pipeline came to: a task of it took the canary
    away, or nothing failed and the task at the end did. A canary that was only cleared up because a
    task failed makes a failed release.
    """
    if facts.outcome == PROMOTED:
        return ReleaseState.PROMOTED
    if run.state is RunState.CANCELLED:
        return ReleaseState.CANCELLED
    meant = run.state is RunState.SUCCEEDED and facts.outcome in GONE
    return ReleaseState.ROLLED_BACK if meant or _was_taken_away(run) else ReleaseState.FAILED


def _was_taken_away(run: RunStatus) -> bool:
    decided = (task for task in run.tasks if task.name not in run.at_the_end)
    return any(task.outputs.get("outcome") in GONE for task in decided)


def final_facts(run: RunStatus, facts: Facts) -> Facts:
    """Say why a release ended as it did: a task's failure weighs more than the gate's reason."""
    state = final_state(run, facts)
    if run.message and state is ReleaseState.PROMOTED:
        return replace(facts, reason=_after_promotion(run))
    if run.message:
        return replace(facts, reason=run.message)
    if state is ReleaseState.FAILED:
        outcome = f" but {facts.outcome!r}" if facts.outcome else ""
        return replace(facts, reason=f"the run ended without promoted or rolled_back{outcome}")
    return facts


def _after_promotion(run: RunStatus) -> str:
    if run.state is RunState.CANCELLED:
        return "promoted before the run was cancelled"
    return f"promoted, and then a task failed: {run.message}"
