"""Any interleaving of two releases, a person's edits and crashes ends well."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from coalmine._base.errors import CoalmineError
from coalmine.serving.kserve.seen import Seen
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase
from tests.serving.kserve.conftest import V1, V2, V3, V4, new_world
from tests.serving.kserve.test_drift import annotate, drop_percent, set_env
from tests.serving.kserve.test_knative import canary
from tests.serving.kube.dying import Killed, dying

IMAGES = {"r1": V2, "r2": V3}
RELEASES = st.sampled_from(sorted(IMAGES))
KILLS = st.one_of(st.just(10**6), st.integers(0, 12))


class Releases(RuleBasedStateMachine):
    """Two releases, each with its own process at a time, one person, and the controllers."""

    def __init__(self) -> None:
        super().__init__()
        self.world = new_world()
        self.world.serving()
        self.by_hand = ""
        self.promoted = V1
        self.edits = 0

    def call(self, what: str, release: str, left: int, *, force: bool = False) -> None:
        """One step of one release, which may be killed before one of its writes."""
        alive, self.world.kube = self.world.kube, dying(self.world.kube, left)
        try:
            backend = self.world.backend(force=force)
            with contextlib.suppress(CoalmineError, Killed):
                if what == "canary":
                    canary(backend, IMAGES[release], release)
                else:
                    getattr(backend, what)(service="iris", release_id=release)
        finally:
            self.world.kube = alive
        self.note_promotion()

    def note_promotion(self) -> None:
        kept = Ownership(self.world.kube).read("iris")
        if kept and kept.record.phase is Phase.PROMOTED:
            self.promoted = kept.record.canary_image

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

    @precondition(lambda self: self.edits < 2)
    @rule(edit=st.sampled_from([set_env, annotate]))
    def edit_the_rest(self, edit: object) -> None:
        self.edits += 1
        self.world.edit(edit)  # type: ignore[arg-type]

    @precondition(lambda self: not self.by_hand)
    @rule()
    def deploy_by_hand(self) -> None:
        self.by_hand = V4
        self.world.edit(lambda now: now["spec"]["predictor"]["containers"][0].update(image=V4))
        self.world.edit(lambda now: now["spec"]["predictor"].pop("canaryTrafficPercent", None))

    @precondition(lambda self: not self.by_hand and self.world.asked()[1])
    @rule()
    def promote_by_hand(self) -> None:
        self.by_hand = self.world.asked()[0]
        self.world.edit(drop_percent)

    def teardown(self) -> None:
        """Whatever has happened, every run's finalize comes in the end."""
        for release in IMAGES:
            with contextlib.suppress(CoalmineError):
                self.world.backend().rollback(service="iris", release_id=release)
        self.note_promotion()
        self.world.played.settle()
        seen = Seen(self.world.service())
        image, percent = self.world.asked()
        own = Ownership(self.world.kube)
        kept = own.read("iris")
        assert own.holder("iris") == "", "nobody owns a service whose releases have ended"
        assert kept is None or kept.record.phase not in {Phase.PREPARING, Phase.CANARY}
        assert percent is None, "no canary is left behind"
        assert self.world.played.shares() == {image: 100}
        assert seen.created == seen.ready == seen.rolled_out, "what serves is what is asked for"
        assert image in {self.promoted, self.by_hand}
        if not self.by_hand:
            for bad in set(IMAGES.values()) - {self.promoted}:
                assert self.world.played.shares().get(bad, 0) == 0
        self.world.kube.close()


Releases.TestCase.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)
TestReleases = Releases.TestCase


class ManyReleases(Releases):
    """The same for longer."""


ManyReleases.TestCase.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)
TestManyReleases = pytest.mark.soak(pytest.mark.timeout(3600)(ManyReleases.TestCase))
