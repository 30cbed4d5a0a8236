"""The next move of a release whose traffic Flagger moves. Pure.

Flagger owns the weights and the promotion. A release makes sure that it checks what the policy
says, sets the image, and waits: for the canary's first share, then for the verdict. The image is
set only while Flagger is at rest, and what it had seen last is noted before: that is how its next
run is known for this release's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from coalmine.serving.flagger.analysis import DEPLOYMENTS
from coalmine.serving.flagger.run import Ruled, has_begun, marker_of, ruling_of
from coalmine.serving.flagger.seen import (
    RESTING,
    Seen,
    image_in,
    last_writer,
    primary_of,
    rest_of,
    selector_of,
    slot_of,
)
from coalmine.serving.flagger.setup import Setup, Way, drifted, others_run
from coalmine.serving.kube.client import Change
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Done, Drifted, Move, Note, Wait, Write, unmoved

__all__ = ["SETTLED", "Decide", "image_patch"]

SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Decide:
    """One decision on the way up.

    Attributes:
        seen: What was seen.
        kept: What is kept.
        way: What it is made with.
    """

    seen: Seen
    kept: Kept
    way: Way = field(default_factory=lambda: Way(""))

    @property
    def _container(self) -> str:
        return self.kept.notes["container"]

    @property
    def _image(self) -> str:
        return image_in(self.seen.target, self._container)

    @property
    def _is_first(self) -> bool:
        return bool(self.kept.notes.get("made"))

    def prepare(self) -> Move:
        """Bring the canary to its first share."""
        setup = Setup(self.seen, self.kept, self.way)
        before = {self.kept.notes.get("image", ""), self.kept.notes.get("superseded", "")}
        return (
            setup.made() or self._drift(before) or setup.checks() or setup.done() or self._tried()
        )

    def share(self) -> Move:
        """See that the canary is still on trial; its share is Flagger's."""
        if drift := self._drift(set()):
            return drift
        if self.seen.canary is None:
            return self._drifted("its Canary was deleted")
        return self._not_failed() or Done()

    def promote(self) -> Move:
        """Wait until what Flagger has passed is the stable version."""
        record, seen = self.kept.record, self.seen
        if self.kept.notes.get(SETTLED):
            return Done()
        serves = image_in(seen.primary, self._container) == record.canary_image
        if serves and seen.phase in RESTING:
            return Note({SETTLED: "promoted"}, canary=primary_of(record.service))
        if seen.phase in RESTING and self._image != record.canary_image:
            by = last_writer(seen.target) or "somebody else"
            return Note({SETTLED: f"left as {by} has set it"})
        return self._not_failed() or Wait(f"Flagger says: {seen.said()}", selector_of(seen.primary))

    # --- the trial

    def _tried(self) -> Move:
        seen, record = self.seen, self.kept.record
        if self._is_first:
            ruling = ruling_of(seen, self.kept)
            if ruling.ruled is Ruled.PASSED:
                return Done()
            return Wait(ruling.reason, selector_of(seen.primary))
        if self._image != record.canary_image:
            return self._set_image()
        if not has_begun(seen, self.kept):
            return Wait(self._why_not_begun())
        if not seen.has_share:
            why = Wait("the canary has no share yet", selector_of(seen.target))
            return self._not_failed() or why
        return self._not_failed() or Done()

    def _set_image(self) -> Move:
        seen = self.seen
        if seen.phase not in RESTING:
            return others_run(seen)
        if seen.spec.get("suspend"):
            return Wait("the Canary is suspended, so Flagger would try nothing")
        as_before = image_in(seen.primary, self._container) == self._image
        if as_before and seen.applied != seen.promoted:
            return Wait("Flagger has not seen yet that the image was put back")
        marker = marker_of(seen)
        if any(self.kept.notes.get(key, "") != value for key, value in marker.items()):
            return Note(marker)
        return image_patch(
            self.way.namespace, seen, self._container, self.kept.record.canary_image, "set"
        )

    def _why_not_begun(self) -> str:
        if self.seen.spec.get("suspend"):
            return "the Canary is suspended, so Flagger tries nothing"
        if self.seen.phase == "Waiting":
            return "Flagger waits for its webhook confirm-rollout"
        return "Flagger has not taken up the new image yet"

    def _not_failed(self) -> Drifted | None:
        ruling = ruling_of(self.seen, self.kept)
        if ruling.ruled is not Ruled.FAILED:
            return None
        return Drifted(
            f"the canary of {self.kept.record.service} was taken back: {ruling.reason}",
            fix="mend what it names, and ask for a new release",
        )

    # --- what they share

    def _drift(self, before: set[str]) -> Drifted | None:
        target, notes, record = self.seen.target, self.kept.notes, self.kept.record
        if target is None:
            return Drifted(f"the Deployment {record.service} was deleted")
        if str(target["metadata"].get("uid")) != notes.get("uid"):
            return self._drifted("it was deleted and made anew")
        if rest_of(target, self._container) != notes.get("rest"):
            return self._drifted("its pod template was changed")
        if self._image not in {record.canary_image, *before}:
            return self._drifted(f"its image was set to {self._image}")
        return None

    def _drifted(self, what: str) -> Drifted:
        return drifted(self.seen, self.kept, what)


def image_patch(namespace: str, seen: Seen, container: str, image: str, what: str) -> Move:
    """Set one container's image, if the Deployment is still as it was seen."""
    target, slot = seen.target, slot_of(seen.target, container)
    if target is None or slot is None:
        return Drifted(f"the Deployment {seen.service} has no container {container}")
    place = f"/spec/template/spec/{slot[0]}/{slot[1]}"
    operations = [
        unmoved(target["metadata"]),
        {"op": "test", "path": f"{place}/name", "value": container},
        {"op": "test", "path": f"{place}/image", "value": image_in(target, container)},
        {"op": "replace", "path": f"{place}/image", "value": image},
    ]
    path = DEPLOYMENTS.path(namespace, seen.service)
    return Write(Change("PATCH", path, operations, f"{what} the image of {container}"))
