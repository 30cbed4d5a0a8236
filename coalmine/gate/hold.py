"""A canary that is held: its evidence was inconclusive, and a person decides.

Nothing is remembered here either. Whether the canary is held follows from the evidence and the
time, and what the person decided is kept by whoever was told of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from coalmine.gate.judge import Decision, Verdict

__all__ = ["Answer", "Person", "held"]


class Answer(StrEnum):
    """What a person decided about a release, in the launcher's words."""

    APPROVED = "approved"
    REJECTED = "rejected"


Person = Callable[[str], Answer | None]
"""Told why the canary is held, gives what was decided; None while nothing was, or while it cannot
be read."""
VERDICTS = {Answer.APPROVED: Verdict.PROMOTE, Answer.REJECTED: Verdict.ROLLBACK}


def held(decision: Decision, person: Person | None) -> Decision:
    """Turn a decision to hold into what follows from a person's answer, if there is one."""
    if person is None:
        reason = f"{decision.reason}; nobody can be asked, for no launcher is known"
        return replace(decision, verdict=Verdict.INCONCLUSIVE, reason=reason)
    answer = person(decision.reason)
    if answer is None:
        reason = f"held for a person to approve or reject: {decision.reason}"
        return replace(decision, reason=reason)
    reason = f"{answer} by a person; {decision.reason}"
    return replace(decision, verdict=VERDICTS[answer], reason=reason)
