"""Clear away what a release has made and nobody is led to any more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from coalmine.serving.gateway.changes import remove
from coalmine.serving.gateway.seen import Seen
from coalmine.serving.gateway.workloads import SERVICE, is_ours, workload_of
from coalmine.serving.kube.client import Object, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Done, Move, Note, Wait
from coalmine.serving.protocol import Phase

__all__ = ["Clearing"]


@dataclass(frozen=True, slots=True)
class Clearing:
    """One decision.

    Attributes:
        seen: What was seen.
        kept: What is kept.
        namespace: Where everything is.
        drain: How long a version that has lost its traffic still runs.
    """

    seen: Seen
    kept: Kept
    namespace: str
    drain: timedelta

    def stable(self) -> Move:
        """Clear what was stable before, if a release has made it."""
        stable = self.kept.record.stable
        mine = {name: item for name, item in self._objects(stable) if is_ours(item)}
        return self._drained() or self._cleared(mine) if stable and mine else Done()

    def canary(self) -> Move:
        """Clear the canary."""
        record = self.kept.record
        found = self._objects(record.canary)
        mine = {name: item for name, item in found if is_ours(item, record.release_id)}
        if not mine:
            return Done()
        had_traffic = record.phase is Phase.ROLLED_BACK
        return (self._drained() if had_traffic else None) or self._cleared(mine)

    def _objects(self, revision: str) -> list[tuple[Resource, Object]]:
        workload = self.seen.workloads.get(revision)
        found = [(workload_of(workload["kind"]).resource, workload)] if workload else []
        service = self.seen.services.get(revision)
        # The Service goes last: while there is one, whoever still asks finds what still answers.
        return found + ([(SERVICE, service)] if service else [])

    def _drained(self) -> Move | None:
        noted = self.kept.notes.get("drained", "")
        phase, _, until = noted.partition(" ")
        if phase != str(self.kept.record.phase):
            ends = self.seen.now + self.drain
            return Note({"drained": f"{self.kept.record.phase} {ends.isoformat()}"})
        late = self.seen.now < datetime.fromisoformat(until)
        return Wait("the last requests are answered") if late else None

    def _cleared(self, mine: Mapping[Resource, Object]) -> Move:
        resource, item = next(iter(mine.items()))
        return remove(resource, self.namespace, item)
