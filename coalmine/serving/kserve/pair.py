"""KFServing's ``v1alpha2``: an InferenceService with a default and a canary."""

from __future__ import annotations

from dataclasses import replace

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kserve.decide import REVISIONS
from coalmine.serving.kserve.pair_decide import PairDecide
from coalmine.serving.kserve.pair_seen import Pair
from coalmine.serving.kserve.seen import last_writer
from coalmine.serving.kube.client import Kube, Object, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Move
from coalmine.serving.protocol import ReleaseRecord, Share

__all__ = ["PAIR", "PairMoves"]

SERVICES = Resource("serving.knative.dev/v1", "services", "Service")
PAIR = Resource("serving.kubeflow.org/v1alpha2", "inferenceservices", "InferenceService")


class PairMoves:
    """See `Moves`.

    Args:
        namespace: The namespace.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def look(self, kube: Kube, service: str) -> Pair:
        """Read the InferenceService and the revisions that its status names."""
        found = kube.get(PAIR, service)
        pair = Pair(found)
        halves = [half for half in ("default", "canary") if pair.revision(half)]
        revisions = {name: kube.get(REVISIONS, name) for name in map(pair.revision, halves)}
        services = {half: kube.get(SERVICES, f"{service}-predictor-{half}") for half in halves}
        return Pair(
            found,
            {name: item for name, item in revisions.items() if item},
            {half: _ready(item) for half, item in services.items() if item},
        )

    def begin(self, seen: Pair, record: ReleaseRecord, previous: Kept | None) -> Kept:  # noqa: ARG002
        """Tell what a release starts from; see `Moves.begin`."""
        image = seen.image("default")
        if not image:
            what = "has no spec.default.predictor.custom.container" if seen.service else "is none"
            raise InputError(
                f"the InferenceService {record.service} of v1alpha2 {what}, so it takes no image",
                field="service",
                fix="apply one with a custom predictor; a first release is not made in v1alpha2",
            )
        if image == record.canary_image:
            raise InputError(
                f"{record.service} is set to this image already, so there is nothing to try",
                field="image",
                fix="release another version",
            )
        if "canary" in seen.spec:
            who = last_writer(seen.service) or "somebody"
            raise CoalmineError(
                f"{record.service} has a canary that no release owns: {seen.image('canary')} "
                f"at {seen.percent} % (last written by {who})",
                fix="promote it or take it away by hand",
            )
        if not seen.is_up("default", image):
            raise CoalmineError(
                f"the default of {record.service} is not ready: "
                f"{seen.trouble('default') or 'its revision has not come up yet'}",
                fix="wait until it is, or mend it",
            )
        notes = {"image": image, "uid": str(seen.metadata["uid"]), "rest": seen.rest()}
        return Kept(replace(record, stable=seen.revision("default"))).noted(**notes)

    def next(self, seen: Pair, kept: Kept) -> Move:
        """Tell the next move; see `PairDecide`."""
        path = PAIR.path(self._namespace, kept.record.service)
        return PairDecide(seen, kept, path).move()

    def shares(self, seen: Pair) -> tuple[Share, ...]:
        """Tell what is routed."""
        return tuple(
            Share(name, "", share, seen.is_routed and name in seen.revisions)
            for name, share in seen.split.items()
        )

    def url(self, seen: Pair) -> str:
        """Tell where users call the service."""
        return str(seen.status.get("url") or "")


def _ready(service: Object) -> str:
    return str((service.get("status") or {}).get("latestReadyRevisionName") or "")
