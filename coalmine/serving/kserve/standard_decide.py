"""The next move of a release on ``spec.canary`` in Standard mode. Pure.

The canary is a copy of the predictor with another image and a name, without the fields of scaling:
KServe gives a canary a fixed number of replicas and refuses some of them. Promotion is one write,
as recorded: the predictor takes the canary's image and name, and with the name its Deployment.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine.serving.kserve.seen import last_writer
from coalmine.serving.kserve.standard_seen import IMAGE, NAME, Standard
from coalmine.serving.kube.client import Change
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Ask, Done, Drifted, Move, Note, Wait, Write, unmoved
from coalmine.serving.protocol import Phase

__all__ = ["StandardDecide"]

SCALING = frozenset(
    {"minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling"}
)
SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class StandardDecide:
    """One decision.

    Attributes:
        seen: What was seen.
        kept: What is kept.
        path: The InferenceService's path.
    """

    seen: Standard
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

    def _prepare(self) -> Move:
        seen, canary = self.seen, self.kept.record.canary
        if drift := self._drift():
            return drift
        if not seen.canaries:
            change = {"op": "add", "path": "/spec/canary", "value": [self._made()]}
            return self._write("start the canary", change)
        if self._percent != 0:
            return self._drifted(f"its percent was set to {self._percent}")
        if not seen.is_up(self._name):
            return Wait(f"the canary {canary} is not ready", f"app=isvc.{canary}")
        if self.kept.notes.get("answered") != canary:
            return Ask(f"app=isvc.{canary}", "answered", canary)
        return Done()

    def _share(self) -> Move:
        record = self.kept.record
        if drift := self._drift():
            return drift
        if not self.seen.canaries:
            return self._drifted("its canary was taken out")
        if self._percent == record.percent:
            wanted = {record.canary: record.percent, record.stable: 100 - record.percent}
            return self._routed(wanted, {"percent": str(record.percent)})
        if self._percent in {0, int(self.kept.notes.get("percent", "0"))}:
            share = {"op": "add", "path": "/spec/canary/0/trafficPercent", "value": record.percent}
            return self._write(f"give the canary {record.percent} %", share)
        return self._drifted(f"its percent was set to {self._percent}")

    def _promote(self) -> Move:
        seen, record = self.seen, self.kept.record
        if self.kept.notes.get(SETTLED):
            return Done()
        if seen.service is None or seen.image not in {record.canary_image, self._before}:
            who = last_writer(seen.service) or "somebody else"
            return Note({SETTLED: f"left as {who} has set it"})
        if seen.image == self._before:
            out: list[dict[str, Any]] = [{"op": "remove", "path": "/spec/canary"}]
            return self._set(record.canary_image, self._name, out if seen.canaries else [])
        if not seen.is_ready:
            return Wait(f"{record.canary} is not ready", f"app=isvc.{record.canary}")
        return self._routed({record.canary: 100}, {SETTLED: "promoted"})

    def _withdraw(self) -> Move:
        seen, record = self.seen, self.kept.record
        if seen.service is None or str(seen.metadata.get("uid")) != self.kept.notes["uid"]:
            return Done()
        if seen.image == record.canary_image and seen.name == self._name:
            return self._set(self._before, self.kept.notes.get("name", ""), [])
        if seen.canaries and self._is_ours():
            return self._write("take the canary out", {"op": "remove", "path": "/spec/canary"})
        restored = seen.image == self._before and seen.split
        if restored and record.stable not in seen.split:
            return Wait(f"KServe's route still leads to {seen.split}", f"app=isvc.{record.stable}")
        return Done()

    # --- what they share

    @property
    def _name(self) -> str:
        return self.kept.notes["canary"]

    @property
    def _before(self) -> str:
        return self.kept.notes["image"]

    @property
    def _percent(self) -> int:
        return int(self.seen.canaries[0].get("trafficPercent") or 0)

    def _made(self) -> dict[str, Any]:
        predictor = {k: v for k, v in self.seen.predictor.items() if k not in SCALING}
        made = copy.deepcopy(predictor)
        made["model"]["image"] = self.kept.record.canary_image
        made["name"] = self._name
        return {"predictor": made, "trafficPercent": 0}

    def _is_ours(self) -> bool:
        predictor = self.seen.canaries[0].get("predictor") or {}
        image = (predictor.get("model") or {}).get("image")
        ours = (self._name, self.kept.record.canary_image)
        return len(self.seen.canaries) == 1 and (predictor.get("name"), image) == ours

    def _set(self, image: str, name: str, more: list[dict[str, Any]]) -> Write:
        changes: list[dict[str, Any]] = [{"op": "replace", "path": IMAGE, "value": image}]
        if name:
            changes.append({"op": "add", "path": NAME, "value": name})
        elif self.seen.name:
            changes.append({"op": "remove", "path": NAME})
        return self._write(f"let the predictor be {image}", *changes, *more)

    def _routed(self, wanted: Mapping[str, int], notes: Mapping[str, str]) -> Move:
        if self.seen.split != wanted:
            told = self.seen.split or "nothing"
            return Wait(f"KServe's route leads to {told}, asked for {dict(wanted)}")
        missing = {k: v for k, v in notes.items() if self.kept.notes.get(k) != v}
        return Note(missing) if missing else Done()

    def _drift(self) -> Drifted | None:
        seen, notes = self.seen, self.kept.notes
        if seen.service is None:
            return Drifted(f"the InferenceService {self.kept.record.service} was deleted")
        if str(seen.metadata.get("uid")) != notes["uid"]:
            return self._drifted("it was deleted and made anew")
        if seen.image != notes["image"]:
            return self._drifted(f"its image was set to {seen.image}")
        if seen.rest() != notes["rest"]:
            return self._drifted("its predictor was changed")
        if seen.canaries and not self._is_ours():
            return self._drifted("its canary was changed")
        return None

    def _drifted(self, what: str) -> Drifted:
        who = last_writer(self.seen.service)
        return Drifted.since(self.kept.record, "InferenceService", what, who)

    def _write(self, what: str, *changes: dict[str, Any]) -> Write:
        return Write(Change("PATCH", self.path, [unmoved(self.seen.metadata), *changes], what))
