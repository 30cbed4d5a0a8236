"""What a run tells of its release: read from its tasks' outputs by name, no task known by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from coalmine.engines.protocol import RunState, RunStatus, TaskStatus
from coalmine.launcher.release import ReleaseState

__all__ = ["Facts", "final_facts", "final_state", "read_facts"]


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

    But a promotion stands, whatever a later task says of its own part.
    """
    names = {spec.name for spec in fields(Facts)}
    found = Facts()
    for task in tasks:
        said = {name: text for name, text in task.outputs.items() if name in names and text}
        if found.outcome == "promoted":
            said.pop("outcome", None)
        found = replace(found, **said)
    return found


def final_state(run: RunStatus, facts: Facts) -> ReleaseState:
    """Decide what a release came to when its run has ended.

    A promotion stands, whatever came after it: the canary is stable, and users are served by it.
    """
    if facts.outcome == "promoted":
        return ReleaseState.PROMOTED
    if run.state is RunState.CANCELLED:
        return ReleaseState.CANCELLED
    return ReleaseState.ROLLED_BACK if facts.outcome == "rolled_back" else ReleaseState.FAILED


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
