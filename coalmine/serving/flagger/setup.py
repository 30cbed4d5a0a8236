"""What has to be there before a canary can be tried: a Deployment, the checks, a Canary. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coalmine.serving.flagger.analysis import (
    CANARIES,
    DEPLOYMENTS,
    TEMPLATES,
    Analysis,
    canary_for,
    merged_metrics,
    templates_for,
)
from coalmine.serving.flagger.seen import (
    RESTING,
    Seen,
    image_in,
    last_writer,
    rest_of,
    selector_of,
)
from coalmine.serving.flagger.template import Template
from coalmine.serving.kube.client import Change, Object, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Drifted, Move, Note, Wait, Write, unmoved

__all__ = ["Setup", "Way", "drifted", "others_run"]


@dataclass(frozen=True, slots=True)
class Way:
    """What a release by Flagger is made with.

    Attributes:
        namespace: Where everything is.
        analysis: How Flagger shall judge; None where no canary is begun.
        template: What a service is made from that is not there yet; None refuses to make one.
        container: The container or init container whose image is released; empty means the first.
    """

    namespace: str
    analysis: Analysis | None = None
    template: Template | None = None
    container: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """One decision before the image is set.

    Attributes:
        seen: What was seen.
        kept: What is kept.
        way: What the release is made with.
    """

    seen: Seen
    kept: Kept
    way: Way

    @property
    def _image(self) -> str:
        return image_in(self.seen.target, self.kept.notes["container"])

    @property
    def _is_first(self) -> bool:
        return bool(self.kept.notes.get("made"))

    def made(self) -> Move | None:
        """Make the Deployment of a first release."""
        record, target = self.kept.record, self.seen.target
        if not self._is_first or "uid" in self.kept.notes:
            return None
        if target is None:
            if self.way.template is None:
                return Drifted(f"there is no Deployment {record.service}", "give a template")
            body = self.way.template.filled(
                record.service, record.canary_image, self.kept.notes["container"]
            )
            return self._post(DEPLOYMENTS, body)
        if self._image != record.canary_image:
            return drifted(self.seen, self.kept, "somebody else made it")
        rest = rest_of(target, self.kept.notes["container"])
        return Note({"uid": str(target["metadata"]["uid"]), "rest": rest})

    def checks(self) -> Move | None:
        """Let Flagger check what the policy says; never once the image is set."""
        analysis = self.way.analysis
        begun = self._image == self.kept.record.canary_image and not self._is_first
        if analysis is None or begun:
            return None
        return self._templates(analysis) or self._canary(analysis)

    def _templates(self, analysis: Analysis) -> Move | None:
        for name, wanted in templates_for(self.kept.record.service, analysis).items():
            found = self.seen.templates.get(name)
            if found is None:
                return self._post(TEMPLATES, wanted)
            if changes := _template_changes(found, wanted):
                return self._patch(TEMPLATES, found, changes)
        return None

    def _canary(self, analysis: Analysis) -> Move | None:
        seen, service = self.seen, self.kept.record.service
        if seen.canary is None:
            if seen.target is None:
                return None
            given = self.way.template.canary if self.way.template else None
            return self._post(CANARIES, canary_for(service, seen.target, analysis, given))
        wanted = merged_metrics(service, analysis, seen.metrics)
        if seen.metrics == wanted:
            return None
        if seen.phase not in {*RESTING, "", "Initializing"}:
            return others_run(seen)
        change = {"op": "add", "path": "/spec/analysis/metrics", "value": wanted}
        return self._patch(CANARIES, seen.canary, [change])

    def done(self) -> Move | None:
        """Wait until Flagger serves what it was given."""
        seen = self.seen
        if seen.canary is None:
            return drifted(self.seen, self.kept, "its Canary was deleted")
        if seen.phase in {"", "Initializing"}:
            return Wait("Flagger has not set the service up yet", selector_of(seen.primary))
        if seen.phase in {"Terminating", "Terminated"}:
            return drifted(self.seen, self.kept, "its Canary is being deleted")
        return None

    def _post(self, resource: Resource, body: Object) -> Write:
        what = f"make {resource.kind} {body['metadata']['name']}"
        return Write(Change("POST", resource.path(self.way.namespace), body, what))

    def _patch(self, resource: Resource, item: Object, changes: Sequence[Any]) -> Write:
        name = item["metadata"]["name"]
        path = resource.path(self.way.namespace, name)
        what = f"set what {resource.kind} {name} checks"
        return Write(Change("PATCH", path, [unmoved(item["metadata"]), *changes], what))


def others_run(seen: Seen) -> Wait:
    """Wait for a run of Flagger's that is not the release's."""
    return Wait(f"Flagger is at work on a change that no release has made: {seen.said()}")


def drifted(seen: Seen, kept: Kept, what: str) -> Drifted:
    """Tell that somebody else has changed what the release had set."""
    return Drifted.since(kept.record, "Deployment", what, last_writer(seen.target))


def _template_changes(found: Object, wanted: Object) -> list[dict[str, Any]]:
    has, asked = found.get("spec") or {}, wanted["spec"]
    changes: list[dict[str, Any]] = []
    if has.get("query") != asked["query"]:
        changes.append({"op": "add", "path": "/spec/query", "value": asked["query"]})
    address = asked["provider"]["address"]
    if (has.get("provider") or {}).get("address") != address:
        changes.append({"op": "add", "path": "/spec/provider/address", "value": address})
    return changes
