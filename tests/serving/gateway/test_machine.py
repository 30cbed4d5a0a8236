"""Any interleaving of two releases, a person's edits and crashes ends well."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from coalmine._base.errors import CoalmineError
from coalmine.serving.gateway.rules import backends
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.mirror import Mirror
from coalmine.serving.protocol import Phase
from tests.kubeapi.store import Object
from tests.serving.gateway.world import (
    DEPLOYMENT,
    NAMESPACE,
    ROUTE,
    V2,
    V3,
    V4,
    adopt,
    canary,
    deployment,
    new_world,
    plain_service,
)
from tests.serving.kube.dying import Killed, dying

IMAGES = {"r1": V2, "r2": V3}
RELEASES = st.sampled_from(sorted(IMAGES))
KILLS = st.one_of(st.just(10**6), st.integers(0, 12))
THEIRS = {"iris-v1", "iris-v4"}


def lead_to(name: str) -> Any:
    def change(now: Object) -> None:
        now["spec"]["rules"] = [{"backendRefs": [{"name": name, "port": 3000}]}]

    return change


def even(now: Object) -> None:
    for ref in now["spec"]["rules"][-1]["backendRefs"]:
        ref["weight"] = 50


class Releases(RuleBasedStateMachine):
    """Two releases, each with its own process at a time, one person, and the controllers."""

    def __init__(self) -> None:
        super().__init__()
        self.world = adopt(new_world())
        other = deployment("iris-v4", V4)
        other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
        service = plain_service("iris-v4")
        service["spec"]["selector"] = {"app": "other"}
        self.world.add(other, service)
        self.promoted, self.by_hand = "iris-v1", ""
        self.weighed = self.lost = False

    def call(self, what: str, release: str, left: int, *, force: bool = False) -> None:
        """One step of one release, which may be killed before one of its writes."""
        alive, self.world.kube = self.world.kube, dying(self.world.kube, left)
        try:
            backend = self.world.backend(force=force, preview="blue", mirror=Mirror(10))
            with contextlib.suppress(CoalmineError, Killed):
                if what == "canary":
                    canary(backend, release, IMAGES[release])
                else:
                    getattr(backend, what)(service="iris", release_id=release)
        finally:
            self.world.kube = alive
        self.note_promotion()

    def kept(self) -> Kept | None:
        return Ownership(self.world.kube).read("iris")

    def note_promotion(self) -> None:
        kept = self.kept()
        if kept and kept.record.phase is Phase.PROMOTED:
            self.promoted = kept.record.canary
        elif kept and self.promoted == kept.record.canary:
            self.promoted = kept.record.stable

    @rule(release=RELEASES, left=KILLS, force=st.booleans())
    def try_it(self, release: str, left: int, force: bool) -> None:
        self.call("canary", release, left, force=force)

    @rule(release=RELEASES, left=KILLS)
    def promote(self, release: str, left: int) -> None:
        self.call("promote", release, left)

    @rule(release=RELEASES, left=KILLS)
    def roll_back(self, release: str, left: int) -> None:
        self.call("rollback", release, left)

    @rule()
    def reconcile(self) -> None:
        self.world.step()

    @rule(kind=st.sampled_from([ROUTE, DEPLOYMENT]))
    def annotate(self, kind: Any) -> None:
        def noted(now: Object) -> None:
            now["metadata"].setdefault("annotations", {})["team"] = "a"

        self.world.edit(kind, self.world.names(kind)[0], noted)

    @precondition(lambda self: not self.by_hand)
    @rule()
    def lead_elsewhere(self) -> None:
        self.by_hand = "iris-v4"
        self.world.edit(ROUTE, "iris", lead_to("iris-v4"))

    @precondition(lambda self: not self.weighed and len(self.world.split()) == 2)
    @rule()
    def weigh_by_hand(self) -> None:
        self.weighed = True
        self.world.edit(ROUTE, "iris", even)

    @precondition(lambda self: bool(set(self.world.names(DEPLOYMENT)) - THEIRS - {self.promoted}))
    @rule()
    def lose_the_canary(self) -> None:
        self.lost = True
        for name in set(self.world.names(DEPLOYMENT)) - THEIRS - {self.promoted}:
            self.world.api.store.delete(DEPLOYMENT, NAMESPACE, name)
        self.world.step()

    @precondition(lambda self: not self.lost and self._is_decided())
    @rule()
    def lose_what_is_promoted(self) -> None:
        """The canary is lost between the decision and the change of the route."""
        self.lost = True
        self.world.api.store.delete(DEPLOYMENT, NAMESPACE, self.promoted)
        self.world.step()

    def _is_decided(self) -> bool:
        kept = self.kept()
        decided = kept is not None and kept.record.phase is Phase.PROMOTED
        return decided and len(self.world.split()) == 2

    def finalize(self) -> None:
        for release in IMAGES:
            self.call("rollback", release, 10**6)

    def teardown(self) -> None:
        """Whatever has happened, every run's finalize comes in the end."""
        self.finalize()
        if self.weighed and len(backends(self.world.route()["spec"]["rules"])) == 2:
            kept = self.kept()
            assert kept
            # As the error says: whoever has weighed it takes the canary out of the rules.
            self.world.edit(ROUTE, "iris", lead_to(kept.record.stable))
            self.by_hand = kept.record.stable
            self.finalize()
        self.world.step()
        kept, own = self.kept(), Ownership(self.world.kube)
        assert own.holder("iris") == "", "nobody owns a service whose releases have ended"
        assert kept is None or kept.record.phase not in {Phase.PREPARING, Phase.CANARY}
        (serves,) = self.world.split()
        assert serves in {self.promoted, self.by_hand}
        assert len(self.world.route()["spec"]["rules"]) == 1, "no preview is left behind"
        assert "filters" not in self.world.route()["spec"]["rules"][0], "nor a mirror"
        left = set(self.world.names(DEPLOYMENT)) - THEIRS
        assert left <= ({self.promoted, kept.record.stable} if kept else set())
        if not self.by_hand:
            assert serves in self.world.names(DEPLOYMENT)
            assert left <= {self.promoted}, "no canary is left behind"
        if not (self.by_hand or self.weighed or self.lost):
            assert self.world.unserved == []
        self.world.kube.close()


Releases.TestCase.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)
TestReleases = Releases.TestCase


class ManyReleases(Releases):
    """The same for longer."""


ManyReleases.TestCase.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)
TestManyReleases = pytest.mark.soak(pytest.mark.timeout(3600)(ManyReleases.TestCase))
