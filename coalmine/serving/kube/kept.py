"""A release's record as a ConfigMap keeps it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from coalmine._base.errors import CoalmineError
from coalmine.serving.kube.client import Object
from coalmine.serving.protocol import Phase, ReleaseRecord

__all__ = ["Kept", "from_config_map", "name_of", "to_config_map"]

NOTE = "note."
LABELS = {"app.kubernetes.io/managed-by": "coalmine"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A record with what its backend noted beside it.

    Attributes:
        record: The release's record.
        notes: What the backend needs to undo or go on, flat: the image before, revisions.
        version: The ConfigMap's resourceVersion when it was read; empty if it is not there yet.
    """

    record: ReleaseRecord
    notes: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    def noted(self, **notes: str) -> Kept:
        """Add notes; an empty one is taken away."""
        merged = {**self.notes, **notes}
        return replace(self, notes={key: value for key, value in merged.items() if value})

    def with_record(self, record: ReleaseRecord) -> Kept:
        """Change the record alone."""
        return replace(self, record=record)


def name_of(service: str) -> str:
    """Name a service's Lease and ConfigMap."""
    return f"coalmine-{service}"


def to_config_map(kept: Kept) -> Object:
    """Write a record as a ConfigMap that a person can read."""
    fields = asdict(kept.record)
    since = kept.record.canary_since
    fields["canary_since"] = since.isoformat() if since else ""
    data = {key: str(value) for key, value in fields.items()}
    data |= {f"{NOTE}{key}": value for key, value in kept.notes.items()}
    name = name_of(kept.record.service)
    metadata: Object = {"name": name, "labels": LABELS}
    if kept.version:
        metadata["resourceVersion"] = kept.version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def from_config_map(found: Object) -> Kept:
    """Read a record back.

    Raises:
        CoalmineError: The ConfigMap holds none.
    """
    data = dict(found.get("data") or {})
    notes = {k.removeprefix(NOTE): data.pop(k) for k in list(data) if k.startswith(NOTE)}
    try:
        since = data.pop("canary_since")
        record = ReleaseRecord(
            **{**data, "phase": Phase(data["phase"]), "percent": int(data["percent"])},
            canary_since=datetime.fromisoformat(since) if since else None,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CoalmineError(
            f"the ConfigMap {found['metadata']['name']} is no release record: {error}",
            fix="delete it if no release is running; the service serves on",
        ) from None
    return Kept(record, notes, found["metadata"].get("resourceVersion", ""))
