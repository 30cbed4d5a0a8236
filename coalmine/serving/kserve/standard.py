"""KServe's ``spec.canary`` in Standard mode, wherever the cluster routes it.

KServe 0.20 makes the canary's Deployment and leads no route to it. So whether it is routed is seen
at the route, and where it is not the canary is taken out again, and the release ends.
"""

from __future__ import annotations

import re
from dataclasses import replace

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.gateway.seen import HTTP_ROUTE
from coalmine.serving.kserve.knative import GATEWAY, KSERVE
from coalmine.serving.kserve.seen import last_writer, mode_of
from coalmine.serving.kserve.standard_decide import StandardDecide
from coalmine.serving.kserve.standard_seen import Standard
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import Kube, Object, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Move
from coalmine.serving.protocol import Phase, ReleaseRecord, Share

__all__ = ["StandardMoves", "StandardServing"]

INGRESSES = Resource("networking.k8s.io/v1", "ingresses", "Ingress")
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,56}[a-z0-9])?")
"""The canary's Deployment; with ``isvc.`` before it, it is the value of a label, of 63 at most."""


class StandardMoves:
    """See `Moves`.

    Args:
        namespace: The namespace.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def look(self, kube: Kube, service: str) -> Standard:
        """Read the InferenceService and the route that KServe made for it."""
        route = kube.get(HTTP_ROUTE, service)
        ingress = None if route else kube.get(INGRESSES, service)
        return Standard(kube.get(KSERVE, service), route, ingress)

    def begin(self, seen: Standard, record: ReleaseRecord, previous: Kept | None) -> Kept:  # noqa: ARG002
        """Tell what a release starts from; see `Moves.begin`."""
        _check_kind(seen.service, seen, record.service)
        if seen.image == record.canary_image:
            raise InputError(
                f"{record.service} is set to this image already, so there is nothing to try",
                field="image",
                fix="release another version",
            )
        if seen.canaries:
            who = last_writer(seen.service) or "somebody"
            raise CoalmineError(
                f"{record.service} has a canary that no release owns (last written by {who})",
                fix="promote it or take it away by hand",
            )
        name = record.release_id.lower().replace("_", "-")
        canary = seen.service_of(name)
        if not LABEL.fullmatch(canary):
            raise InputError(
                f"{canary} is no name for a canary",
                field="release_id",
                fix="keep service and release id below 47 characters together",
            )
        notes = {
            "canary": name,
            "image": seen.image,
            "name": seen.name,
            "uid": str(seen.metadata["uid"]),
            "rest": seen.rest(),
        }
        stable = seen.service_of(seen.name)
        return Kept(replace(record, canary=canary, stable=stable)).noted(**notes)

    def next(self, seen: Standard, kept: Kept) -> Move:
        """Tell the next move; see `StandardDecide`."""
        path = KSERVE.path(self._namespace, kept.record.service)
        return StandardDecide(seen, kept, path).move()

    def shares(self, seen: Standard) -> tuple[Share, ...]:
        """Tell what the route leads to."""
        return tuple(Share(name, "", share, seen.is_ready) for name, share in seen.split.items())

    def url(self, seen: Standard) -> str:
        """Tell where users call the service."""
        return str(((seen.service or {}).get("status") or {}).get("url") or "")


class StandardServing(KubeServing[Standard]):
    """Splits traffic by ``spec.canary``; see `ServingBackend`."""

    def apply_canary(
        self, *, service: str, image: str, version: str, percent: int, release_id: str
    ) -> ReleaseRecord:
        """Start a canary, give it its share, and take it out where that is not routed."""
        try:
            return super().apply_canary(
                service=service,
                image=image,
                version=version,
                percent=percent,
                release_id=release_id,
            )
        except CoalmineError as fault:
            split = self._unrouted(service, release_id)
            if split is None:
                raise
            why = fault.message
        self.rollback(service=service, release_id=release_id)
        raise InputError(
            f"this cluster leads no traffic to a canary in spec.canary: {why}; the canary of "
            f"{service} was taken out again",
            field="serving",
            fix=GATEWAY,
        )

    def _unrouted(self, service: str, release_id: str) -> dict[str, int] | None:
        """Tell what is routed in place of a canary of this release; None if that is not why."""
        kept = self._own.read(service)
        if kept is None or kept.record.release_id != release_id:
            return None
        if kept.record.phase is not Phase.CANARY or kept.record.canary_since:
            return None
        split = self._moves.look(self._kube, service).split
        return None if kept.record.canary in split else split


def _check_kind(service: Object | None, seen: Standard, name: str) -> None:
    if service is None:
        raise InputError(
            f"there is no InferenceService {name}",
            field="service",
            fix="apply one; a first release is not made in this way",
        )
    if mode_of(service) != "Standard":
        raise InputError(
            f"{name} does not run in KServe's Standard mode",
            field="serving",
            fix="use the serving backend kserve",
        )
    if not seen.image:
        what = "has containers of its own, which spec.canary does not take"
        if not seen.predictor.get("containers"):
            what = "names no image in spec.predictor.model"
        raise InputError(f"the predictor of {name} {what}", field="serving", fix=GATEWAY)
