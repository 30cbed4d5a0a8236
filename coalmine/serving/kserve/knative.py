"""KServe in Knative mode, and KFServing, whose ``v1beta1`` has the same shape."""

from __future__ import annotations

import logging
from dataclasses import replace

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kserve.decide import REVISIONS, Decide
from coalmine.serving.kserve.seen import Seen, image_of_revision, last_writer, mode_of
from coalmine.serving.kserve.template import Template
from coalmine.serving.kube.client import Change, Kube, Object, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Move, Write
from coalmine.serving.protocol import Phase, ReleaseRecord, Share

__all__ = ["KFSERVING", "KSERVE", "KnativeMoves"]

logger = logging.getLogger(__name__)
KSERVE = Resource("serving.kserve.io/v1beta1", "inferenceservices", "InferenceService")
KFSERVING = Resource("serving.kubeflow.org/v1beta1", "inferenceservices", "InferenceService")
GATEWAY = "use the serving backend gateway, whose weights are routed in this mode"


class KnativeMoves:
    """See `Moves`.

    Args:
        namespace: The namespace.
        template: What a service is made from that is not there yet; None refuses to make one.
        resource: `KSERVE` or `KFSERVING`.
        force: Whether a canary that no release owns may be replaced.
    """

    def __init__(
        self,
        namespace: str,
        template: Template | None = None,
        *,
        resource: Resource = KSERVE,
        force: bool = False,
    ) -> None:
        self._namespace, self._template = namespace, template
        self._resource, self._force = resource, force

    def look(self, kube: Kube, service: str) -> Seen:
        """Read the InferenceService and the revisions that its status names."""
        found = kube.get(self._resource, service)
        seen = Seen(found)
        names = {seen.created, seen.ready, seen.rolled_out, *seen.split} - {""}
        revisions = {name: kube.get(REVISIONS, name) for name in sorted(names)}
        return Seen(found, {name: item for name, item in revisions.items() if item})

    def begin(self, seen: Seen, record: ReleaseRecord, previous: Kept | None) -> Kept:
        """Tell what a release starts from; see `Moves.begin`."""
        if seen.service is None:
            if self._template is None:
                raise InputError(
                    f"there is no InferenceService {record.service} and no template for one",
                    field="template",
                    fix="give the file with COALMINE_TEMPLATE, or apply the service yourself",
                )
            return Kept(replace(record, percent=100), {"made": "yes"})
        self._check(seen.service, seen, record)
        stable = seen.rolled_out
        notes = {
            "image": _before(seen),
            "rest": seen.rest(),
            "uid": str(seen.metadata["uid"]),
            "created": "" if seen.image == record.canary_image else seen.created,
            "sleeps": "yes" if seen.predictor.get("minReplicas") == 0 else "",
            "superseded": _superseded(seen, previous),
        }
        percent = record.percent if stable else 100
        return Kept(replace(record, stable=stable, percent=percent)).noted(**notes)

    def next(self, seen: Seen, kept: Kept) -> Move:
        """Tell the next move; see `Decide`."""
        record = kept.record
        making = record.phase is Phase.PREPARING and kept.notes.get("made")
        if seen.service is None and making and "uid" not in kept.notes and self._template:
            body = self._template.filled(self._resource, record.service, record.canary_image)
            path = self._resource.path(self._namespace)
            return Write(Change("POST", path, body, "make the service"))
        path = self._resource.path(self._namespace, record.service)
        revisions = REVISIONS.path(self._namespace)
        return Decide(seen, kept, path=path, revisions=revisions).move()

    def shares(self, seen: Seen) -> tuple[Share, ...]:
        """Tell what is routed."""
        return tuple(
            Share(name, "", percent, seen.is_ready and not seen.trouble(name))
            for name, percent in seen.split.items()
        )

    def url(self, seen: Seen) -> str:
        """Tell where users call the service."""
        return str(((seen.service or {}).get("status") or {}).get("url") or "")

    def _check(self, service: Object, seen: Seen, record: ReleaseRecord) -> None:
        if mode_of(service) == "Standard":
            raise InputError(
                f"{record.service} runs in KServe's Standard mode, which accepts a canary's "
                "percent and ignores it",
                field="serving",
                fix=GATEWAY,
            )
        if seen.is_ready and not (seen.rolled_out or seen.created):
            # Before KServe 0.16 the status tells no mode, which may be the cluster's default.
            raise InputError(
                f"{record.service} is ready without a Knative revision, so it does not run in "
                "Knative mode: there all its users would be given the new image at once",
                field="serving",
                fix=GATEWAY,
            )
        if seen.index < 0:
            raise InputError(
                f"the predictor of {record.service} has no container that serves, or several and "
                "none is named so: it takes no image",
                field="service",
                fix="name it kserve-container in spec.predictor.containers",
            )
        if seen.rolled_out and seen.image == record.canary_image and seen.percent is None:
            raise InputError(
                f"{record.service} is set to this image already, so there is nothing to try",
                field="image",
                fix="release another version",
            )
        if _is_under_way(seen):
            who = last_writer(seen.service) or "somebody"
            raise CoalmineError(
                f"{record.service} is just being given the image {seen.image} by {who}",
                fix="wait until its revision is ready or has failed",
            )
        if _is_unowned(seen) and not self._force:
            who = last_writer(seen.service) or "somebody"
            raise CoalmineError(
                f"{record.service} has a canary that no release owns: {seen.image} "
                f"at {seen.percent} % (last written by {who})",
                fix="promote it or take it away by hand, or give --force-takeover",
            )


def _is_unowned(seen: Seen) -> bool:
    return bool(seen.rolled_out and seen.percent is not None and seen.created != seen.rolled_out)


def _is_under_way(seen: Seen) -> bool:
    """Whether another image was set by hand, and has neither come to serve nor failed."""
    if not seen.rolled_out or seen.percent is not None or seen.image == _before(seen):
        return False
    failed = seen.trouble(seen.created)
    return not (failed and image_of_revision(seen.revisions.get(seen.created)) == seen.image)


def _before(seen: Seen) -> str:
    """The image to go back to: that of the revision that serves, whatever is asked for now."""
    serving = image_of_revision(seen.revisions.get(seen.rolled_out))
    return serving or seen.image


def _superseded(seen: Seen, previous: Kept | None) -> str:
    """An image besides the stable one that is ours to replace, should it be asked for now.

    It is what is asked for and does not serve, or what the last release may still write, should one
    of its processes have been cut off before the release was ended.
    """
    if seen.rolled_out and seen.image != _before(seen):
        return seen.image
    if previous and previous.record.phase is not Phase.PROMOTED:
        return previous.record.canary_image
    return ""
