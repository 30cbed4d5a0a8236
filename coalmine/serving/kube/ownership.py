"""Who owns a service: a Lease says which release, a ConfigMap beside it how far it has come.

Never a label or an annotation of what serves: any new value there makes a new revision of it.

A release owns its service from its canary to its end, over many processes and for as long as its
gate takes. So the Lease does not run out by itself: its ``renewTime`` only tells when the release
was last at work. It passes on when the release before has ended, or by force, which is logged.
Every write carries the resourceVersion that was read, so of two only one succeeds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kube.client import Change, Kube, Object, Resource
from coalmine.serving.kube.kept import LABELS, Kept, from_config_map, name_of, to_config_map
from coalmine.serving.record import UNFINISHED

__all__ = ["LEASES", "RECORDS", "NotOwnerError", "Ownership"]

logger = logging.getLogger(__name__)
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")
RECORDS = Resource("v1", "configmaps", "ConfigMap")
BACKEND = "backend"
WORKING_SECONDS = 600
"""How long after ``renewTime`` a step may still be at work: the time limit of a step."""


class NotOwnerError(CoalmineError):
    """Another release owns the service."""


class Ownership:
    """The Leases and records of a namespace.

    Args:
        kube: The cluster.
        now: The time, UTC.
        backend: The serving backend's name, kept in each record; empty keeps none.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        backend: str = "",
    ) -> None:
        self._kube = kube
        self._now = now
        self._backend = backend

    def read(self, service: str) -> Kept | None:
        """Give a service's newest record; None if it never had a release.

        Raises:
            StaleError: The server cannot be asked now.
            InputError: It is that of a release which another backend has begun and not ended.
            CoalmineError: What is there is no record.
        """
        found = self._kube.get(RECORDS, name_of(service))
        if found is None:
            return None
        kept = from_config_map(found)
        begun_by = kept.notes.get(BACKEND, "")
        if self._backend not in {"", begun_by} and begun_by and kept.record.phase in UNFINISHED:
            raise InputError(
                f"the release {kept.record.release_id} of {service} was begun by the serving "
                f"backend {begun_by}, and is not ended",
                field="serving",
                fix=f"end it first, with --serving {begun_by}",
            )
        return kept

    def write(self, kept: Kept) -> Kept:
        """Keep a record, if nobody else has written since it was read.

        Raises:
            StaleError: Somebody has.
        """
        if self._backend:
            kept = kept.noted(**{BACKEND: self._backend})
        where, body = self._kube.namespace, to_config_map(kept)
        phase = f"record {kept.record.release_id} as {kept.record.phase}"
        if kept.version:
            path = RECORDS.path(where, name_of(kept.record.service))
            found = self._kube.write(Change("PUT", path, body, phase))
        else:
            found = self._kube.write(Change("POST", RECORDS.path(where), body, phase))
        return replace(kept, version=found["metadata"]["resourceVersion"])

    def holder(self, service: str) -> str:
        """Name the release that holds a service's Lease; empty if none does."""
        return _holder(self._kube.get(LEASES, name_of(service)))

    def claim(self, service: str, release_id: str, *, over: str = "") -> None:
        """Take a service's Lease, or renew it.

        Args:
            service: The service.
            release_id: The release that takes it.
            over: A release that it may be taken from: one that has ended, or gives way by force.

        Raises:
            NotOwnerError: Another release holds it.
            StaleError: Another took it meanwhile.
        """
        found = self._kube.get(LEASES, name_of(service))
        holder = _holder(found)
        if holder not in {"", release_id, over}:
            raise NotOwnerError(
                f"the service {service} is owned by the release {holder}, "
                f"last at work {_renewed(found) or 'at an unknown time'}",
                fix="wait until it has ended, or take the service from it with --force-takeover",
            )
        if holder and holder != release_id:
            logger.warning(
                "the service passes to another release",
                extra={"service": service, "from": holder, "to": release_id},
            )
        self._put(service, found, release_id)

    def renew(self, service: str, release_id: str) -> None:
        """Say that a release is at work."""
        self.claim(service, release_id)

    def give_up(self, service: str, release_id: str) -> None:
        """Let go of a service, if the release holds it."""
        found = self._kube.get(LEASES, name_of(service))
        if found is not None and _holder(found) == release_id:
            self._put(service, found, "")

    def _put(self, service: str, found: Object | None, holder: str) -> None:
        body = _lease(service, found, holder, self._now())
        what = f"lease {service} to {holder or 'nobody'}"
        if found is None:
            self._kube.write(Change("POST", LEASES.path(self._kube.namespace), body, what))
        else:
            path = LEASES.path(self._kube.namespace, name_of(service))
            self._kube.write(Change("PUT", path, body, what))


def _holder(lease: Object | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def _renewed(lease: Object | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("renewTime") or "")


def _lease(service: str, found: Object | None, holder: str, now: datetime) -> Object:
    before = (found or {}).get("spec") or {}
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    changed = holder != _holder(found)
    moves = int(before.get("leaseTransitions") or 0) + int(bool(changed and holder and found))
    spec: Object = {
        "holderIdentity": holder,
        "leaseDurationSeconds": WORKING_SECONDS,
        "acquireTime": moment if changed else before.get("acquireTime") or moment,
        "renewTime": moment,
        "leaseTransitions": moves,
    }
    metadata: Object = {"name": name_of(service), "labels": LABELS}
    if found:
        metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
    return {"apiVersion": LEASES.api, "kind": "Lease", "metadata": metadata, "spec": spec}
