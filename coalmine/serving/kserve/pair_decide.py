"""The next move of a release on KFServing's default and canary. Pure.

The canary is a copy of the default with another image and no share. A half is taken out of the spec
only once the route leads nothing to it: KFServing deletes its Knative Service first, and writes the
route after.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine.serving.kserve.pair_seen import DEFAULT_IMAGE, Pair
from coalmine.serving.kserve.seen import last_writer
from coalmine.serving.kube.client import Change
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Ask, Done, Drifted, Move, Note, Wait, Write, unmoved
from coalmine.serving.protocol import Phase

__all__ = ["PairDecide"]

PERCENT = "/spec/canaryTrafficPercent"
SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class PairDecide:
    """One decision.

    Attributes:
        seen: What was seen.
        kept: What is kept.
        path: The InferenceService's path.
    """

    seen: Pair
    kept: Kept
    path: str

    def move(self) -> Move:
        """Tell the next move towards the goal of the record's phase."""
        goals: Mapping[Phase, Callable[[], Move]] = {
            Phase.PREPARING: self._prepare,
            Phase.CANARY: self._share,
            Phase.PROMOTED: self._promote,
        }
        return goals.get(self.kept.record.phase, self._withdraw)()

    @property
    def _image(self) -> str:
        return self.kept.record.canary_image

    def _prepare(self) -> Move:
        seen = self.seen
        if drift := self._drift():
            return drift
        if "canary" not in seen.spec:
            made = copy.deepcopy(seen.spec["default"])
            made["predictor"]["custom"]["container"]["image"] = self._image
            canary = {"op": "add", "path": "/spec/canary", "value": made}
            return self._write("start the canary", canary, _percent(0))
        if seen.percent:
            return self._drifted(f"its percent was set to {seen.percent}")
        if not seen.is_up("canary", self._image):
            return self._not_up("canary")
        return self._answered()

    def _answered(self) -> Move:
        seen, record = self.seen, self.kept.record
        if seen.revision("canary") != record.canary:
            return Note(canary=seen.revision("canary"))
        if self.kept.notes.get("answered") != record.canary:
            return Ask(_selector(record.canary), "answered", record.canary)
        return self._routed({record.stable: 100})

    def _share(self) -> Move:
        seen, record = self.seen, self.kept.record
        if drift := self._drift():
            return drift
        if "canary" not in seen.spec or seen.revision("canary") != record.canary:
            return self._drifted("its canary was changed")
        if seen.percent == record.percent:
            wanted = {record.canary: record.percent, record.stable: 100 - record.percent}
            return self._routed(wanted, {"percent": str(record.percent)})
        if seen.percent in {0, int(self.kept.notes.get("percent", "0"))}:
            return self._write(f"give the canary {record.percent} %", _percent(record.percent))
        return self._drifted(f"its percent was set to {seen.percent}")

    def _promote(self) -> Move:
        seen = self.seen
        if self.kept.notes.get(SETTLED):
            return Done()
        if seen.service is None or seen.image("default") not in {self._image, self._before}:
            return self._overtaken()
        if seen.image("default") == self._before:
            # On a way back it counts that the default was ever another.
            if not self.kept.notes.get("changed"):
                return Note({"changed": "yes"})
            return self._set_default(self._image, "make the canary's image the default's")
        if not seen.is_up("default", self._image):
            return self._not_up("default")
        return self._taken_out() or self._promoted()

    def _promoted(self) -> Move:
        seen = self.seen
        if not seen.is_routed or seen.split != {seen.revision("default"): 100}:
            return self._unrouted({seen.revision("default"): 100})
        return Note({SETTLED: "promoted"}, canary=seen.revision("default"))

    def _withdraw(self) -> Move:
        seen = self.seen
        if seen.service is None or self._is_anothers():
            return Done()
        if seen.image("default") == self._image:
            return self._set_default(self._before, "restore the default's image")
        if self.kept.notes.get("changed") and not seen.is_up("default", seen.image("default")):
            return self._not_up("default")
        return self._taken_out() or Done()

    def _is_anothers(self) -> bool:
        """Whether somebody else has put another canary there, or made the service anew."""
        canary = self.seen.image("canary")
        anew = str(self.seen.metadata.get("uid")) != self.kept.notes["uid"]
        return anew or canary not in {"", self._image}

    # --- what they share

    @property
    def _before(self) -> str:
        return self.kept.notes["image"]

    def _taken_out(self) -> Move | None:
        seen = self.seen
        if "canary" not in seen.spec:
            return None
        # While a half is not up KFServing changes no route: then only its end takes its share.
        is_up = seen.is_up("canary", seen.image("canary"))
        if seen.percent and is_up:
            return self._write("lead nothing to the canary", _percent(0))
        if seen.canary_traffic and is_up:
            return Wait(f"the canary still has {seen.canary_traffic} %")
        changes: list[dict[str, Any]] = [{"op": "remove", "path": "/spec/canary"}]
        if "canaryTrafficPercent" in seen.spec:
            changes.append({"op": "remove", "path": PERCENT})
        return self._write("take the canary out", *changes)

    def _not_up(self, half: str) -> Wait:
        name = self.seen.revision(half)
        selector = _selector(name) if name else ""
        return Wait(f"the {half}'s revision is not ready", selector, self.seen.trouble(half))

    def _set_default(self, image: str, what: str) -> Write:
        now = {"op": "test", "path": DEFAULT_IMAGE, "value": self.seen.image("default")}
        return self._write(what, now, {"op": "replace", "path": DEFAULT_IMAGE, "value": image})

    def _routed(self, wanted: Mapping[str, int], notes: Mapping[str, str] | None = None) -> Move:
        if self.seen.split != wanted or not self.seen.is_routed:
            return self._unrouted(wanted)
        missing = {k: v for k, v in (notes or {}).items() if self.kept.notes.get(k) != v}
        return Note(missing) if missing else Done()

    def _unrouted(self, wanted: Mapping[str, int]) -> Wait:
        return Wait(f"routed is {self.seen.split or 'nothing'}, asked for {dict(wanted)}")

    def _overtaken(self) -> Move:
        who = last_writer(self.seen.service) or "somebody else"
        return Note({SETTLED: f"left as {who} has set it"})

    def _drift(self) -> Drifted | None:
        seen, notes = self.seen, self.kept.notes
        if seen.service is None:
            return Drifted(f"the InferenceService {self.kept.record.service} was deleted")
        if str(seen.metadata.get("uid")) != notes["uid"]:
            return self._drifted("it was deleted and made anew")
        if seen.image("default") != notes["image"]:
            return self._drifted(f"its image was set to {seen.image('default')}")
        if seen.rest() != notes["rest"]:
            return self._drifted("its default was changed")
        if "canary" in seen.spec and seen.image("canary") != self._image:
            return self._drifted(f"its canary's image was set to {seen.image('canary')}")
        return None

    def _drifted(self, what: str) -> Drifted:
        who = last_writer(self.seen.service)
        return Drifted.since(self.kept.record, "InferenceService", what, who)

    def _write(self, what: str, *changes: dict[str, Any]) -> Write:
        return Write(Change("PATCH", self.path, [unmoved(self.seen.metadata), *changes], what))


def _percent(share: int) -> dict[str, Any]:
    return {"op": "add", "path": PERCENT, "value": share}


def _selector(revision: str) -> str:
    return f"serving.knative.dev/revision={revision}"
