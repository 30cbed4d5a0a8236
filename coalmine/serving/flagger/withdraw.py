"""The way back of a release whose traffic Flagger moves. Pure.

Setting the image back is not enough. Flagger does not end a run whose Deployment has become again
what it promoted last: it goes on to judge the old image against itself, and at the end notes the
hash of the image that failed as promoted, which it then will not try again. So the run is ended:
a check that always fails is put among the Canary's, and its threshold is set to 1, until Flagger
says ``Failed``; then both are put back. Users are off the canary as soon as its pods have the old
image, whatever Flagger does meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coalmine.serving.flagger.analysis import (
    CANARIES,
    DEPLOYMENTS,
    OF_SERVICE,
    STOP,
    STOPPER,
    TEMPLATES,
)
from coalmine.serving.flagger.decide import SETTLED, image_patch
from coalmine.serving.flagger.run import has_begun
from coalmine.serving.flagger.seen import (
    ENDING,
    TRYING,
    Seen,
    image_in,
    last_writer,
    primary_of,
    selector_of,
)
from coalmine.serving.flagger.setup import Way
from coalmine.serving.kube.client import Change, Object, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Done, Drifted, Move, Note, Wait, Write, unmoved

__all__ = ["Withdraw"]

SET = "set"
"""The note that the canary's image was found set."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """One decision on the way back.

    Attributes:
        seen: What was seen.
        kept: What is kept.
        way: Where everything is.
    """

    seen: Seen
    kept: Kept
    way: Way

    def move(self) -> Move:
        """Tell the next move."""
        target, notes = self.seen.target, self.kept.notes
        if notes.get("made"):
            return self._removed()
        if target is None or str(target["metadata"].get("uid")) != notes.get("uid"):
            return self._stopped() or Done()
        now = image_in(target, notes["container"])
        if now in {self.kept.record.canary_image, notes.get("superseded")} - {notes["image"]}:
            # What was never set is nothing that Flagger could be trying: that is another's change.
            if now == self.kept.record.canary_image and not notes.get(SET):
                return Note({SET: "yes"})
            return image_patch(
                self.way.namespace, self.seen, notes["container"], notes["image"], "put back"
            )
        if now != notes["image"]:
            return self._overtaken()
        return self._ended() or self._stopped() or Done()

    # --- beside a stable version

    def _ended(self) -> Move | None:
        """End the run of this release, if Flagger is still at it."""
        seen = self.seen
        if self._is_primary_ours():
            return self._promoted_all_the_same()
        if not self.kept.notes.get(SET) or not has_begun(seen, self.kept):
            return None
        if seen.phase in ENDING:
            return Wait(f"Flagger says: {seen.said()}", selector_of(seen.primary))
        if seen.phase not in TRYING:
            return None
        return self._stop()

    def _is_primary_ours(self) -> bool:
        container = self.kept.notes["container"]
        return image_in(self.seen.primary, container) == self.kept.record.canary_image

    def _promoted_all_the_same(self) -> Move:
        """Flagger was quicker, or could not finish: the image that was put back has to be tried."""
        seen = self.seen
        if seen.phase == "Failed":
            return Drifted(
                f"Flagger could not finish the promotion of {seen.service}: {seen.said()}. The "
                f"Deployment has its former image again, {primary_of(seen.service)} has not",
                fix="put the primary's image back by hand, or delete the Canary and make it anew",
            )
        return Wait(
            f"Flagger has promoted the canary and tries the former image now: {seen.said()}",
            selector_of(seen.target),
        )

    def _stop(self) -> Move:
        seen = self.seen
        if seen.stop_at >= 0:
            paused = "; the Canary is suspended" if seen.spec.get("suspend") else ""
            return Wait(f"Flagger has not ended its run yet: {seen.said()}{paused}")
        threshold = seen.analysis.get("threshold")
        if "threshold" not in self.kept.notes:
            return Note({"threshold": str(threshold or 1)})
        metrics: dict[str, Any] = {"op": "add", "path": "/spec/analysis/metrics"}
        if seen.metrics:
            metrics |= {"path": "/spec/analysis/metrics/-", "value": dict(STOPPER)}
        else:
            metrics |= {"value": [dict(STOPPER)]}
        once = {"op": "add", "path": "/spec/analysis/threshold", "value": 1}
        return self._patch([metrics, once], "end Flagger's run")

    def _stopped(self) -> Move | None:
        """Take away the check that ended the run."""
        at = self.seen.stop_at
        if at < 0:
            return None
        place = f"/spec/analysis/metrics/{at}"
        changes: list[dict[str, Any]] = [
            {"op": "test", "path": f"{place}/name", "value": STOP},
            {"op": "remove", "path": place},
        ]
        if "threshold" in self.kept.notes:
            before = int(self.kept.notes["threshold"])
            changes.append({"op": "add", "path": "/spec/analysis/threshold", "value": before})
        return self._patch(changes, "put the Canary's checks back")

    def _overtaken(self) -> Move:
        """Somebody else has decided what is tried: their word stands, and the release ends."""
        if undo := self._stopped():
            return undo
        if self.kept.notes.get(SETTLED):
            return Done()
        by = last_writer(self.seen.target) or "somebody else"
        return Note({SETTLED: f"left as {by} has set it"})

    # --- a first release

    def _removed(self) -> Move:
        seen, target = self.seen, self.seen.target
        if target is not None and not self._is_mine(target):
            return Done()
        for resource, item in (
            *((CANARIES, one) for one in seen.canaries if _is_made(one, seen.service)),
            *(((DEPLOYMENTS, target),) if target else ()),
            *((TEMPLATES, one) for one in seen.templates.values()),
        ):
            return self._delete(resource, item)
        return Done()

    def _is_mine(self, target: Object) -> bool:
        uid = self.kept.notes.get("uid", str(target["metadata"].get("uid")))
        image = image_in(target, self.kept.notes["container"])
        return image == self.kept.record.canary_image and target["metadata"].get("uid") == uid

    def _delete(self, resource: Resource, item: Object) -> Move:
        metadata = item["metadata"]
        if metadata.get("deletionTimestamp"):
            return Wait(f"{resource.kind} {metadata['name']} is not gone yet")
        path = resource.path(self.way.namespace, metadata["name"])
        options = {"preconditions": {"uid": metadata["uid"]}}
        return Write(Change("DELETE", path, options, f"remove {resource.kind} {metadata['name']}"))

    def _patch(self, changes: list[dict[str, Any]], what: str) -> Write:
        item = self.seen.canary or {"metadata": {}}
        metadata = item["metadata"]
        path = CANARIES.path(self.way.namespace, str(metadata.get("name")))
        return Write(Change("PATCH", path, [unmoved(metadata), *changes], what))


def _is_made(canary: Object, service: str) -> bool:
    """Tell whether a release has made a Canary, and no person or other controller."""
    labels = canary["metadata"].get("labels") or {}
    return bool(labels.get(OF_SERVICE) == service)
