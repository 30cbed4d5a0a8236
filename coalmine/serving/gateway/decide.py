"""The next move of a release behind an HTTPRoute. Pure.

Every change of the rules is written down before it is made: what stands in the route is then
always what was there before, or what was meant. Anything else is somebody else's doing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from coalmine.serving.gateway.changes import create, remove, reroute, text_of
from coalmine.serving.gateway.clearing import Clearing
from coalmine.serving.gateway.rules import Split, promoted, split
from coalmine.serving.gateway.seen import HTTP_ROUTE, Seen
from coalmine.serving.gateway.template import Template
from coalmine.serving.gateway.workloads import (
    DEPLOYMENT,
    OF_SERVICE,
    RELEASE,
    SERVICE,
    Workload,
    canary_of,
    image_of,
    is_ours,
    is_up,
    service_for,
    trouble_of,
    workload_of,
)
from coalmine.serving.kube.client import Object
from coalmine.serving.kube.kept import LABELS, Kept
from coalmine.serving.kube.moves import Ask, Done, Drifted, Move, Note, Wait
from coalmine.serving.mirror import Mirror
from coalmine.serving.protocol import Phase

__all__ = ["Decide", "Way"]


@dataclass(frozen=True, slots=True)
class Way:
    """How canaries get their traffic here.

    Attributes:
        namespace: Where everything is.
        template: What a service is made from.
        preview: Value of the preview header; empty for no previews.
        mirror: What a canary gets copies of before its share; None for nothing.
        drain: How long a version that has lost its traffic still runs.
    """

    namespace: str
    template: Template | None = None
    preview: str = ""
    mirror: Mirror | None = None
    drain: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Decide:
    """One decision.

    Attributes:
        seen: What was seen.
        kept: What is kept.
        way: How canaries get their traffic here.
    """

    seen: Seen
    kept: Kept
    way: Way

    def move(self) -> Move:
        """Tell the next move towards the goal of the record's phase."""
        match self.kept.record.phase:
            case Phase.PREPARING:
                return self._brought_up() or self._routed() or self._mirrored() or Done()
            case Phase.CANARY:
                return self._is_itself() or self._routed() or Done()
            case Phase.PROMOTED:
                return self._promoted()
            case _:
                return self._withdrawn() or self._clearing.canary()

    def _promoted(self) -> Move:
        here, stable = self._leads_here(), self._leads_to_stable()
        if not here and not stable and self.seen.route:
            # Whoever has led the route elsewhere has said what shall be there.
            return Done()
        if stable or not here:
            move = self._is_itself() or self._is_ready() or self._routed()
        else:
            move = self._taken()
        return move or self._clearing.stable()

    @property
    def _kind(self) -> Workload:
        return workload_of(self.kept.notes["kind"])

    @property
    def _clearing(self) -> Clearing:
        return Clearing(self.seen, self.kept, self.way.namespace, self.way.drain)

    @property
    def _canary(self) -> Object | None:
        return self.seen.workloads.get(self.kept.record.canary)

    @property
    def _service(self) -> str:
        return self._kind.service(self.kept.record.canary)

    def _brought_up(self) -> Move | None:
        record, canary = self.kept.record, self._canary
        if canary is None:
            return self._make_workload()
        if not is_ours(canary, record.release_id):
            return Drifted(f"there is a {canary['kind']} {record.canary} that no release has made")
        if self._kind.resource is DEPLOYMENT and self._service not in self.seen.services:
            body = service_for(canary, record.canary)
            return create(SERVICE, self.way.namespace, body, f"make the Service {record.canary}")
        if fault := self._is_itself() or self._is_ready():
            return fault
        if self.kept.notes.get("asked") != record.canary:
            return Ask(self._kind.pods(record.canary), "asked", record.canary)
        return None

    def _make_workload(self) -> Move:
        record = self.kept.record
        source = self.seen.workloads.get(record.stable) if record.stable else None
        if source is None and self.way.template is not None:
            source = self.way.template.workload
        if source is None:
            return Drifted(f"the workload {record.stable} is not there any more", "give a template")
        service = self.seen.services.get(self._kind.service(record.stable)) or {}
        selector = (service.get("spec") or {}).get("selector") or {}
        body = canary_of(source, revision=record.canary, record=record, without=selector)
        what = f"make the canary {record.canary}"
        return create(self._kind.resource, self.way.namespace, body, what)

    def _is_itself(self) -> Move | None:
        record, canary = self.kept.record, self._canary
        if canary is None:
            return Drifted(f"the canary's {self._kind.resource.kind} {record.canary} is gone")
        if image_of(canary) != record.canary_image:
            return Drifted(
                f"{record.canary} was set to another image, {image_of(canary)}",
                fix="let the release be rolled back, and ask for a new one",
            )
        return None

    def _is_ready(self) -> Move | None:
        canary, revision = self._canary, self.kept.record.canary
        if canary and is_up(canary) and self.seen.ready.get(self._service):
            return None
        trouble = trouble_of(canary) if canary else ""
        return Wait(f"{revision} is not ready", self._kind.pods(revision), trouble)

    def _routed(self) -> Move | None:
        if not self.kept.record.stable:
            return self._first_routed()
        return self._with_rules(self._target())

    def _target(self) -> list[dict[str, Any]]:
        record, notes = self.kept.record, self.kept.notes
        preparing = record.phase is Phase.PREPARING
        wanted = Split(
            stable=notes["leads_to"],
            canary=self._service,
            port=int(notes["port"]),
            percent=0 if preparing else record.percent,
            preview=notes.get("preview", ""),
            mirror=int(notes.get("mirror", 0)) if preparing else 0,
            methods=tuple(filter(None, notes.get("methods", "").split(","))),
        )
        before = json.loads(notes["rules"])
        if record.phase is Phase.PROMOTED:
            return promoted(before, wanted)
        return split(before, wanted)

    def _mirrored(self) -> Move | None:
        """Give a canary copies of requests for a while; it has to be up all the time."""
        hold = self.kept.notes.get("hold", "")
        if not (hold and self.kept.record.stable):
            return None
        until = self.kept.notes.get("mirrored")
        if until is None:
            return Note({"mirrored": (self.seen.now + timedelta(seconds=float(hold))).isoformat()})
        late = self.seen.now < datetime.fromisoformat(until)
        return Wait("the canary gets copies of requests") if late else None

    def _first_routed(self) -> Move | None:
        record = self.kept.record
        if record.phase is Phase.PREPARING:
            return None
        if self.seen.route is None:
            labels = {**LABELS, RELEASE: record.release_id, OF_SERVICE: record.service}
            template = self.way.template
            if template is None:
                return Drifted(f"the HTTPRoute {record.service} is gone", "give a template")
            body = template.filled_route(record.service, self._service, labels)
            return create(HTTP_ROUTE, self.way.namespace, body, "make the route")
        if not self._leads_here():
            return self._somebody()
        return self._taken()

    def _with_rules(self, target: Sequence[Mapping[str, Any]]) -> Move | None:
        if self.seen.route is None:
            return Drifted(f"the HTTPRoute {self.kept.record.service} is gone")
        now, wanted, notes = text_of(self.seen.rules), text_of(target), self.kept.notes
        if now == wanted:
            return self._taken()
        if now not in {notes.get("wrote"), notes.get("was"), text_of(json.loads(notes["rules"]))}:
            return self._somebody()
        if notes.get("wrote") != wanted:
            return Note({"wrote": wanted, "was": now})
        return reroute(self.seen.route, self.way.namespace, wanted)

    def _taken(self) -> Move | None:
        if refusal := self.seen.refusal():
            return Wait(refusal, trouble=refusal)
        pending = self.seen.pending()
        return Wait(pending) if pending else None

    def _withdrawn(self) -> Move | None:
        record = self.kept.record
        if not self._leads_here():
            # Whoever has taken the canary out of the rules has said what shall be there.
            return None
        if record.stable:
            return self._with_rules(json.loads(self.kept.notes["rules"]))
        route = self.seen.route
        if route is None or not is_ours(route, record.release_id):
            return self._somebody()
        return remove(HTTP_ROUTE, self.way.namespace, route)

    def _leads_here(self) -> bool:
        return bool(self.kept.notes.get("kind")) and self._leads_to(self._service)

    def _leads_to_stable(self) -> bool:
        return bool(self.kept.record.stable) and self._leads_to(self.kept.notes["leads_to"])

    def _leads_to(self, service: str) -> bool:
        return f'"{service}"' in text_of(self.seen.rules)

    def _somebody(self) -> Drifted:
        managers = ((self.seen.route or {}).get("metadata") or {}).get("managedFields") or []
        names = sorted({str(one.get("manager")) for one in managers} - {"coalmine"})
        return Drifted(
            f"the rules of the HTTPRoute {self.kept.record.service} are not those that the release "
            f"has set (fields are managed by {', '.join(names) or 'nobody else'})",
            fix="take the canary out of the rules, or put them back as they were",
        )
