"""A release's own run of Flagger: whether it has begun, and what came of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coalmine.serving.flagger.seen import ENDING, RESTING, Seen, image_in
from coalmine.serving.kube.client import Object
from coalmine.serving.kube.kept import Kept

__all__ = ["Ruled", "Ruling", "has_begun", "marker_of", "ruling_of"]


class Ruled(StrEnum):
    """What Flagger has said of a canary."""

    OPEN = "open"
    """Nothing yet."""
    PASSED = "passed"
    """It is the stable version by now, or is becoming it."""
    FAILED = "failed"
    """It has been taken away, or was never tried."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What Flagger has said, and why.

    Attributes:
        ruled: What.
        reason: One sentence.
        done: Whether Flagger is at rest: nothing more will come of this run.
    """

    ruled: Ruled
    reason: str
    done: bool


def marker_of(seen: Seen) -> dict[str, str]:
    """Tell what is noted before the image is set, to know this release's run by."""
    return {"turn": seen.turn, "applied": seen.applied}


def has_begun(seen: Seen, kept: Kept) -> bool:
    """Tell whether Flagger has taken up what the release set.

    Its phase does not tell: ``Succeeded`` may be that of the run before. Nor does the hash alone:
    a ``Failed`` Canary takes it over before it begins.
    """
    notes = kept.notes
    if not notes.get("turn"):
        return False
    return seen.turn != notes["turn"] and seen.applied != notes.get("applied", "")


def ruling_of(seen: Seen, kept: Kept) -> Ruling:
    """Tell what Flagger has said of a release's canary."""
    done, said = seen.phase in RESTING, seen.said()
    if kept.notes.get("made"):
        up = done and _is_ours(seen.primary, kept)
        return Ruling(Ruled.PASSED if up else Ruled.OPEN, f"Flagger says: {said}", up)
    if not has_begun(seen, kept):
        return Ruling(Ruled.OPEN, "Flagger has not taken up the canary yet", done=False)
    if seen.phase in ENDING | {"Succeeded"} and _is_ours(seen.primary, kept):
        return Ruling(Ruled.PASSED, f"Flagger says: {said}", done)
    if seen.phase == "Failed" and _is_ours(seen.target, kept):
        return Ruling(Ruled.FAILED, f"Flagger says: {said}", done)
    told = f"Flagger says: {said}; {seen.failed_checks} failed checks, share {seen.weight} %"
    return Ruling(Ruled.OPEN, told, done=False)


def _is_ours(deployment: Object | None, kept: Kept) -> bool:
    """Tell whether it has the release's image: a run may be of another change of the template."""
    return image_in(deployment, kept.notes["container"]) == kept.record.canary_image
