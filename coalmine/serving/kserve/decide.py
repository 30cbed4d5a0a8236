"""The next move of a release on an InferenceService in Knative mode. Pure.

The canary comes up dark: its image and a percent of 0 in one write. It gets its share only when it
is ready, routed and has answered. It is promoted by removing the percent.

The way back takes two writes. The first restores the image and sets the percent to 0: the canary
gets nothing at once, and no later edit can bring its image back. The second, once a revision with
the restored image is ready, removes the percent. To do both in one write would send all traffic to
the newest revision that is ready, which is the canary, until the restored one is (two seconds on
the cluster that was recorded, and as long as a model takes to load elsewhere).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coalmine.serving.kserve.patches import patch
from coalmine.serving.kserve.seen import (
    Seen,
    differences,
    image_of_revision,
    is_written_by_us,
    last_writer,
)
from coalmine.serving.kube.client import Change, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Ask, Done, Drifted, Move, Note, Wait, Write
from coalmine.serving.protocol import Phase

__all__ = ["REVISIONS", "Decide"]

REVISIONS = Resource("serving.knative.dev/v1", "revisions", "Revision")
MIN_SCALE = "autoscaling.knative.dev/min-scale"
SETTLED = "settled"


class Decide:
    """Decides for one service.

    Args:
        seen: What was seen.
        kept: What is kept of the release.
        path: The InferenceService's path.
        revisions: The path of its namespace's Knative revisions.
    """

    def __init__(self, seen: Seen, kept: Kept, *, path: str, revisions: str) -> None:
        self._seen, self._record, self._notes = seen, kept.record, kept.notes
        self._path, self._revisions = path, revisions

    def move(self) -> Move:
        """Tell the next move towards the goal of the record's phase."""
        if self._notes.get(SETTLED) and not self._is_back():
            return Done()
        goals: Mapping[Phase, Callable[[], Move]] = {
            Phase.PREPARING: self._prepare,
            Phase.CANARY: self._share,
            Phase.PROMOTED: self._promote,
            Phase.ROLLED_BACK: self._withdraw,
            Phase.REMOVED: self._withdraw,
        }
        return goals[self._record.phase]()

    def _is_back(self) -> bool:
        """Whether a process that outlived its release has still written the canary's image."""
        seen, withdrawn = self._seen, {Phase.ROLLED_BACK, Phase.REMOVED}
        if self._record.phase not in withdrawn:
            return False
        if self._notes.get("made"):
            return seen.image == self._record.canary_image and is_written_by_us(seen.service)
        return seen.percent == 0 and seen.image in {self._record.canary_image, self._notes["image"]}

    # --- towards a canary

    def _prepare(self) -> Move:
        if self._seen.service is None:
            return Drifted(f"the InferenceService {self._record.service} was deleted")
        if "uid" not in self._notes:
            return self._made_by_us()
        if drift := self._drift({self._notes.get("image", ""), self._notes.get("superseded", "")}):
            return drift
        if self._seen.image != self._record.canary_image:
            return self._write(
                "start the canary",
                patch(self._seen, image=self._record.canary_image, percent=self._dark),
            )
        if self._seen.percent != self._dark:
            return self._drifted("its percent was changed")
        return self._come_up()

    @property
    def _dark(self) -> int | None:
        """The percent of a canary without traffic; none where there is nothing stable."""
        return 0 if self._record.stable else None

    def _made_by_us(self) -> Move:
        if self._seen.image != self._record.canary_image:
            return self._drifted("somebody else made it")
        uid = str(self._seen.metadata["uid"])
        return Note({"uid": uid, "rest": self._seen.rest()})

    def _come_up(self) -> Move:
        seen, canary = self._seen, self._record.canary
        if seen.created == self._notes.get("created", "") or not self._is_ours(seen.created):
            return Wait("KServe has not made the canary's revision yet")
        if not canary:
            return Note(canary=seen.created)
        if seen.created != canary:
            return self._drifted(f"somebody made the revision {seen.created}")
        if seen.ready != canary:
            return Wait(
                f"the revision {canary} is not ready",
                selector=self.selector(canary),
                trouble=seen.trouble(canary),
            )
        return self._wake() or self._answer(canary)

    def _wake(self) -> Move | None:
        """Keep a canary awake that may scale to zero; its revision alone, which makes no other."""
        revision = self._seen.revisions.get(self._record.canary) or {}
        annotations = (revision.get("metadata") or {}).get("annotations") or {}
        if self._seen.predictor.get("minReplicas") != 0 or annotations.get(MIN_SCALE) == "1":
            return None
        return self._scale("keep the canary awake", "1")

    def _answer(self, canary: str) -> Move:
        wanted = {self._record.stable: 100} if self._record.stable else {canary: 100}
        if self._seen.newest_routed != canary or self._seen.split != wanted:
            return self._unrouted(wanted)
        if self._notes.get("answered") != canary:
            return Ask(self.selector(canary), "answered", canary)
        if self._seen.preview and "preview" not in self._notes:
            return Note({"preview": self._seen.preview})
        return Done()

    def _share(self) -> Move:
        record, seen = self._record, self._seen
        if drift := self._drift(set()):
            return drift
        if seen.created != record.canary:
            return self._drifted(f"somebody made the revision {seen.created}")
        if not record.stable:
            return self._routed({record.canary: 100})
        if seen.percent == record.percent:
            return self._routed(
                {record.canary: record.percent, record.stable: 100 - record.percent},
                {"percent": str(record.percent)},
            )
        if seen.percent in {0, int(self._notes.get("percent", "0"))}:
            what = f"give the canary {record.percent} %"
            return self._write(what, patch(seen, percent=record.percent))
        return self._drifted(f"its percent was {_set_to(seen.percent)}")

    # --- to an end

    def _promote(self) -> Move:
        record, seen = self._record, self._seen
        if seen.service is None or seen.image != record.canary_image:
            return self._overtaken()
        if seen.percent is not None:
            return self._fit() or self._write("promote the canary", patch(seen, percent=None))
        if seen.created == record.canary and (move := self._let_sleep()):
            return move
        if seen.split == {seen.created: 100} and seen.trouble(seen.created):
            # It has all the traffic: what became of it since is for the next release to mend.
            return Note({SETTLED: "promoted"})
        return self._routed({seen.created: 100}, {SETTLED: "promoted"})

    def _fit(self) -> Move | None:
        """Wait for a canary that is not well; all traffic would go to it."""
        canary = self._record.canary
        if not self._record.stable or (self._seen.is_ready and not self._seen.trouble(canary)):
            return None
        selector, trouble = self.selector(canary), self._seen.trouble(canary)
        return Wait(f"the canary {canary} is not ready any more", selector, trouble)

    def _withdraw(self) -> Move:
        seen, notes = self._seen, self._notes
        if seen.service is None:
            return Note({SETTLED: "gone"})
        if notes.get("made"):
            return self._delete()
        if seen.image == notes["image"]:
            return self._restored()
        if seen.image not in {self._record.canary_image, notes.get("superseded")}:
            return self._overtaken()
        if self._record.stable and seen.percent is None:
            return self._overtaken()
        return self._write(
            "restore the image and take the canary's traffic away",
            patch(seen, image=notes["image"], percent=self._dark),
        )

    def _restored(self) -> Move:
        seen, image = self._seen, self._notes["image"]
        if not self._record.stable:
            return Note({SETTLED: "restored"})
        # Now: once the restored revision is ready no status names the canary's any more.
        if move := self._let_sleep():
            return move
        if image_of_revision(seen.revisions.get(seen.created)) != image:
            return Wait("KServe has not made a revision of the restored image yet")
        if seen.ready != seen.created or seen.newest_routed != seen.created:
            return Wait(
                f"the restored revision {seen.created} is not ready",
                selector=self.selector(seen.created),
                trouble=seen.trouble(seen.created),
            )
        if seen.percent is not None:
            return self._write("route to the restored revision", patch(seen, percent=None))
        return self._routed({seen.created: 100}, {SETTLED: "restored"})

    def _delete(self) -> Move:
        uid = str(self._seen.metadata.get("uid"))
        if self._seen.image != self._record.canary_image or self._notes.get("uid", uid) != uid:
            return self._overtaken()
        options = {"preconditions": {"uid": uid}}
        if self._seen.metadata.get("deletionTimestamp"):
            return Wait("the InferenceService is not gone yet")
        return Write(Change("DELETE", self._path, options, "remove the first release"))

    def _overtaken(self) -> Move:
        """Somebody else has decided what serves: their word stands, and the release ends."""
        who = last_writer(self._seen.service)
        return Note({SETTLED: f"left as {who or 'somebody else'} has set it"})

    # --- what they share

    def _let_sleep(self) -> Move | None:
        revision = self._seen.revisions.get(self._record.canary)
        if self._notes.get("sleeps") and revision is not None:
            annotations = (revision.get("metadata") or {}).get("annotations") or {}
            if annotations.get(MIN_SCALE) == "1":
                return self._scale("let the canary's revision scale to zero again", "0")
        return None

    def _scale(self, what: str, value: str) -> Move:
        path = f"/metadata/annotations/{MIN_SCALE.replace('/', '~1')}"
        operations = [{"op": "add", "path": path, "value": value}]
        return Write(Change("PATCH", f"{self._revisions}/{self._record.canary}", operations, what))

    def _routed(self, wanted: Mapping[str, int], notes: Mapping[str, str] | None = None) -> Move:
        if self._seen.split != wanted or not self._seen.is_ready:
            return self._unrouted(wanted)
        missing = {k: v for k, v in (notes or {}).items() if self._notes.get(k) != v}
        return Note(missing) if missing else Done()

    def _unrouted(self, wanted: Mapping[str, int]) -> Wait:
        return Wait(f"routed is {self._seen.split or 'nothing'}, asked for {dict(wanted)}")

    def _is_ours(self, revision: str) -> bool:
        return image_of_revision(self._seen.revisions.get(revision)) == self._record.canary_image

    def _drift(self, before: set[str]) -> Drifted | None:
        if self._seen.service is None:
            return Drifted(f"the InferenceService {self._record.service} was deleted")
        if str(self._seen.metadata.get("uid")) != self._notes.get("uid"):
            return self._drifted("it was deleted and made anew")
        if changed := differences(self._notes.get("rest", ""), self._seen.rest()):
            return self._drifted(f"{', '.join(changed)} changed")
        if self._seen.image not in {self._record.canary_image, *before}:
            return self._drifted(f"its image was set to {self._seen.image}")
        return None

    def _drifted(self, what: str) -> Drifted:
        who = last_writer(self._seen.service)
        return Drifted.since(self._record, "InferenceService", what, who)

    def _write(self, what: str, operations: list[dict[str, object]]) -> Write:
        return Write(Change("PATCH", self._path, operations, what))

    def selector(self, revision: str) -> str:
        """Tell the label selector of a revision's pods and Deployment."""
        return f"serving.knative.dev/revision={revision}"


def _set_to(percent: int | None) -> str:
    return "removed, which promotes it by hand" if percent is None else f"set to {percent}"
