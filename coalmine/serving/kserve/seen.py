"""What the cluster says of an InferenceService of ``v1beta1`` in Knative mode. Pure.

Of its status only the predictor's revisions and traffic are believed. ``observedGeneration`` is not
the InferenceService's own, and ``Ready`` is stale for a moment after every write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coalmine.serving.kube.client import MANAGER, Object
from coalmine.serving.kube.predictor import serving_container

__all__ = [
    "Seen",
    "differences",
    "image_of_revision",
    "is_written_by_us",
    "last_writer",
    "mode_of",
]

STANDARD = frozenset({"Standard", "RawDeployment"})
UNTOUCHED = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
"""Annotations that change what is applied and not what runs."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look.

    Attributes:
        service: The InferenceService; None where there is none.
        revisions: The Knative revisions that its status names, by name.
    """

    service: Object | None
    revisions: Mapping[str, Object] = field(default_factory=dict)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata; empty where there is no InferenceService."""
        return (self.service or {}).get("metadata") or {}

    @property
    def predictor(self) -> Mapping[str, Any]:
        """``spec.predictor``."""
        return ((self.service or {}).get("spec") or {}).get("predictor") or {}

    @property
    def status(self) -> Mapping[str, Any]:
        """``status.components.predictor``."""
        components = ((self.service or {}).get("status") or {}).get("components") or {}
        return components.get("predictor") or {}

    @property
    def index(self) -> int:
        """Which of the predictor's containers serves; -1 where none does, or none is named."""
        return serving_container(self.predictor)

    @property
    def image(self) -> str:
        """The image that is asked for; empty where there is none."""
        index = self.index
        return "" if index < 0 else str(self.predictor["containers"][index].get("image", ""))

    @property
    def percent(self) -> int | None:
        """The percent that is asked for."""
        found = self.predictor.get("canaryTrafficPercent")
        return None if found is None else int(found)

    @property
    def created(self) -> str:
        """The newest revision."""
        return str(self.status.get("latestCreatedRevision") or "")

    @property
    def ready(self) -> str:
        """The newest revision that ever was ready."""
        return str(self.status.get("latestReadyRevision") or "")

    @property
    def rolled_out(self) -> str:
        """The newest revision that had all the traffic: what is stable."""
        return str(self.status.get("latestRolledoutRevision") or "")

    @property
    def split(self) -> dict[str, int]:
        """What is routed: percent by revision, without those that get nothing."""
        shares: dict[str, int] = {}
        for entry in self.status.get("traffic") or []:
            if entry.get("percent"):
                name = str(entry.get("revisionName"))
                shares[name] = shares.get(name, 0) + int(entry["percent"])
        return shares

    @property
    def newest_routed(self) -> str:
        """The revision that the entry for the newest one leads to, with whatever percent."""
        entries = self.status.get("traffic") or []
        return next((str(e.get("revisionName")) for e in entries if e.get("latestRevision")), "")

    @property
    def preview(self) -> str:
        """Where the newest revision is called whatever its share is; empty without tag routes."""
        entries = self.status.get("traffic") or []
        newest = [e for e in entries if e.get("latestRevision") and e.get("tag")]
        return str(newest[0].get("url") or "") if newest else ""

    @property
    def is_ready(self) -> bool:
        """Whether the InferenceService says that it is ready, which may be stale."""
        conditions = ((self.service or {}).get("status") or {}).get("conditions") or []
        return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)

    def trouble(self, revision: str) -> str:
        """Tell what a revision says is wrong with it for good; empty if nothing is."""
        status = (self.revisions.get(revision) or {}).get("status") or {}
        for condition in status.get("conditions") or []:
            if condition.get("type") == "Ready" and condition.get("status") == "False":
                return f"{condition.get('reason')}: {condition.get('message')}"
        return ""

    def rest(self) -> str:
        """What of the InferenceService makes a revision and is no release's: compact JSON."""
        spec = json.loads(json.dumps((self.service or {}).get("spec") or {}))
        predictor = spec.get("predictor") or {}
        predictor.pop("canaryTrafficPercent", None)
        if self.index >= 0:
            predictor["containers"][self.index].pop("image", None)
        annotations = self.metadata.get("annotations") or {}
        kept = {k: v for k, v in annotations.items() if k not in UNTOUCHED}
        whole = {"spec": spec, "annotations": kept, "labels": self.metadata.get("labels") or {}}
        return json.dumps(whole, sort_keys=True, separators=(",", ":"))


def mode_of(service: Object) -> str:
    """Tell an InferenceService's deployment mode: ``Knative`` or ``Standard``."""
    annotations = (service.get("metadata") or {}).get("annotations") or {}
    asked = annotations.get("serving.kserve.io/deploymentMode")
    found = str((service.get("status") or {}).get("deploymentMode") or asked or "Knative")
    return "Standard" if found in STANDARD else "Knative"


def image_of_revision(revision: Object | None) -> str:
    """Tell a Knative revision's image; empty where there is no revision."""
    spec = (revision or {}).get("spec") or {}
    index = serving_container(spec)
    return "" if index < 0 else str(spec["containers"][index].get("image", ""))


def differences(before: str, after: str) -> list[str]:
    """Name the fields in which two texts of `Seen.rest` differ, as paths."""
    if before == after:
        return []
    return sorted(set(_changed(json.loads(before), json.loads(after), "")))


def last_writer(service: Object | None) -> str:
    """Name who else wrote last, by the managed fields; empty if nobody is named."""
    entries = _writers(service)
    others = [entry for entry in entries if entry.get("manager") != MANAGER]
    if not others:
        return ""
    # Times are whole seconds; of the same one, the entry that was made later stands further back.
    _, _, last = max((str(entry.get("time", "")), n, entry) for n, entry in enumerate(others))
    return f"{last.get('manager')} at {last.get('time')}"


def is_written_by_us(service: Object | None) -> bool:
    """Whether anything in it was written under our name."""
    return any(entry.get("manager") == MANAGER for entry in _writers(service))


def _writers(service: Object | None) -> list[Mapping[str, Any]]:
    entries = ((service or {}).get("metadata") or {}).get("managedFields") or []
    return [entry for entry in entries if not entry.get("subresource")]


def _changed(before: Any, after: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {*before, *after}:
            if before.get(key) != after.get(key):
                yield from _changed(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
    else:
        yield path
