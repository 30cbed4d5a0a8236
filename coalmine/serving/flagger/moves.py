"""Flagger as a backend: what it sees, and what a release starts from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.flagger.analysis import CANARIES, DEPLOYMENTS, OF_SERVICE, TEMPLATES
from coalmine.serving.flagger.decide import Decide
from coalmine.serving.flagger.seen import (
    RESTING,
    Seen,
    image_in,
    last_writer,
    primary_of,
    rest_of,
    slot_of,
)
from coalmine.serving.flagger.setup import Way
from coalmine.serving.flagger.withdraw import Withdraw
from coalmine.serving.kube.client import Kube, Object
from coalmine.serving.kube.diagnosis import EVENTS
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Move
from coalmine.serving.protocol import Phase, ReleaseRecord, Share

__all__ = ["FlaggerMoves"]

HALTS = 3
"""How many of Flagger's warnings are told of a run that has failed."""


class FlaggerMoves:
    """See `Moves`.

    Args:
        way: What a release is made with.
    """

    def __init__(self, way: Way) -> None:
        self._way = way

    def look(self, kube: Kube, service: str) -> Seen:
        """Read the Deployment, Flagger's copy of it, and what Flagger is told and says."""
        found = [one for one in kube.list(CANARIES) if _targets(one, service)]
        installed = bool(found) or kube.knows(CANARIES)
        templates = kube.list(TEMPLATES, f"{OF_SERVICE}={service}") if installed else []
        seen = Seen(
            service=service,
            installed=installed,
            target=kube.get(DEPLOYMENTS, service),
            primary=kube.get(DEPLOYMENTS, primary_of(service)),
            canaries=tuple(found),
            templates={one["metadata"]["name"]: one for one in templates},
        )
        return replace(seen, halts=_halts(kube, seen)) if seen.phase == "Failed" else seen

    def begin(self, seen: Seen, record: ReleaseRecord, previous: Kept | None) -> Kept:  # noqa: ARG002
        """Tell what a release starts from; see `Moves.begin`."""
        self._check_flagger(seen, record)
        if seen.target is None:
            _check_nothing_serves(seen)
            return self._first(record)
        container = self._container(seen.target)
        now = image_in(seen.target, container)
        before = image_in(seen.primary, container) or now
        _check_image(seen, record, now, before)
        notes = {
            "container": container,
            "image": before,
            "superseded": now if now != before else "",
            "uid": str(seen.target["metadata"]["uid"]),
            "rest": rest_of(seen.target, container),
        }
        stable = primary_of(record.service)
        return Kept(replace(record, canary=record.service, stable=stable)).noted(**notes)

    def next(self, seen: Seen, kept: Kept) -> Move:
        """Tell the next move; see `Decide` and `Withdraw`."""
        up = Decide(seen, kept, self._way)
        goals: Mapping[Phase, Callable[[], Move]] = {
            Phase.PREPARING: up.prepare,
            Phase.CANARY: up.share,
            Phase.PROMOTED: up.promote,
        }
        return goals.get(kept.record.phase, Withdraw(seen, kept, self._way).move)()

    def shares(self, seen: Seen) -> tuple[Share, ...]:
        """Tell what Flagger routes, by its own word."""
        if seen.target is None:
            return ()
        if seen.primary is None or seen.phase in {"", "Initializing"}:
            return (Share(seen.service, "", 100, _is_up(seen.target)),)
        split = {seen.service: seen.weight, primary_of(seen.service): 100 - seen.weight}
        up = {seen.service: _is_up(seen.target), primary_of(seen.service): _is_up(seen.primary)}
        return tuple(Share(name, "", share, up[name]) for name, share in split.items() if share)

    def url(self, seen: Seen) -> str:
        """Tell where users call the service: its first host, or its name in the cluster."""
        service: Mapping[str, Any] = seen.spec.get("service") or {}
        hosts = [host for host in service.get("hosts") or [] if host != "*"]
        if hosts:
            return f"http://{hosts[0]}"
        port = f":{service['port']}" if service.get("port") else ""
        return f"http://{service.get('name') or seen.service}.{self._way.namespace}{port}"

    def _first(self, record: ReleaseRecord) -> Kept:
        if self._way.template is None:
            raise InputError(
                f"there is no Deployment {record.service} and no template for one",
                field="template",
                fix="give the file with COALMINE_TEMPLATE, or apply the Deployment yourself",
            )
        container = self._container(self._way.template.deployment)
        primary = replace(record, canary=primary_of(record.service), percent=100)
        return Kept(primary, {"made": "yes", "container": container})

    def _container(self, deployment: Object) -> str:
        slot = slot_of(deployment, self._way.container)
        if slot is None:
            raise InputError(
                f"the Deployment has no container or init container {self._way.container!r}",
                field="container",
                fix="give the name of one, or nothing for the first",
            )
        return str(deployment["spec"]["template"]["spec"][slot[0]][slot[1]]["name"])

    def _check_flagger(self, seen: Seen, record: ReleaseRecord) -> None:
        if not seen.installed:
            raise InputError(
                "the cluster knows no Canary of flagger.app/v1beta1: Flagger is not installed",
                field="serving",
                fix="install Flagger, or use the serving backend gateway",
            )
        if self._way.analysis is None:
            raise InputError(
                "nothing says what Flagger shall check", field="policy", fix="give a gate policy"
            )
        if len(seen.canaries) > 1:
            names = ", ".join(sorted(one["metadata"]["name"] for one in seen.canaries))
            raise InputError(
                f"several Canaries target the Deployment {record.service}: {names}",
                field="service",
                fix="leave one of them",
            )
        _check_canary(seen)


def _check_nothing_serves(seen: Seen) -> None:
    """Refuse a first release where Flagger may serve a copy: a failed one takes its Canary away."""
    if seen.canary is None:
        return
    raise InputError(
        f"there is no Deployment {seen.service}, but the Canary {seen.canary['metadata']['name']} "
        "is there, and what it serves would be removed with a release that fails",
        field="service",
        fix="apply the Deployment, or delete the Canary; one of your own belongs in the template",
    )


def _check_canary(seen: Seen) -> None:
    if seen.canary is None:
        return
    name = seen.canary["metadata"]["name"]
    if seen.spec.get("skipAnalysis") or not seen.analysis:
        raise InputError(
            f"the Canary {name} skips its analysis, so Flagger would promote what nobody judged",
            field="serving",
            fix="take spec.skipAnalysis away and give spec.analysis",
        )
    if seen.spec.get("suspend"):
        raise InputError(
            f"the Canary {name} is suspended, so Flagger would try nothing",
            field="serving",
            fix="set spec.suspend to false",
        )
    if seen.phase not in {*RESTING, "", "Initializing"}:
        who = last_writer(seen.target) or "somebody"
        raise CoalmineError(
            f"Flagger is at work on a change of {seen.service} that no release has made "
            f"(last written by {who}): {seen.said()}",
            fix="wait until it has ended",
        )


def _check_image(seen: Seen, record: ReleaseRecord, now: str, before: str) -> None:
    if now != record.canary_image:
        return
    if before != now:
        raise InputError(
            f"{seen.service} is set to this image, and Flagger has taken it back once: {before} "
            "serves, and Flagger tries no image twice in a row",
            field="image",
            fix=f"set the Deployment back to {before}, then ask again",
        )
    raise InputError(
        f"{seen.service} is set to this image already, so there is nothing to try",
        field="image",
        fix="release another version",
    )


def _targets(canary: Object, service: str) -> bool:
    target = (canary.get("spec") or {}).get("targetRef") or {}
    return bool(target.get("kind") == "Deployment" and target.get("name") == service)


def _is_up(deployment: Object) -> bool:
    return int((deployment.get("status") or {}).get("availableReplicas") or 0) > 0


def _halts(kube: Kube, seen: Seen) -> tuple[str, ...]:
    """Read why Flagger halted: it tells so in events alone."""
    name = (seen.canary or {"metadata": {}})["metadata"].get("name")
    events: list[Object] = []
    # To know why is worth nothing against going on: a right that lacks stops no release.
    with contextlib.suppress(CoalmineError):
        events = list(kube.list(EVENTS))
    told = [
        (str(event.get("lastTimestamp") or event.get("eventTime") or ""), str(event["message"]))
        for event in events
        if _is_warning(event, name) and event.get("message")
    ]
    return tuple(message for _, message in sorted(told)[-HALTS:])


def _is_warning(event: Object, name: str | None) -> bool:
    about = event.get("involvedObject") or {}
    return bool(
        about.get("kind") == "Canary" and about.get("name") == name and event["type"] == "Warning"
    )
