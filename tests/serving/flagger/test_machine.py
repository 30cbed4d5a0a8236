"""Any interleaving of two releases, a person's edits, Flagger's looks and crashes ends well."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from coalmine._base.errors import CoalmineError
from coalmine.serving.flagger.analysis import STOP
from coalmine.serving.flagger.seen import RESTING
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase
from tests.serving.flagger.conftest import V1, V2, V3, new_world, release
from tests.serving.flagger.deployments import DEPLOYMENT
from tests.serving.kube.dying import Killed, dying

V4 = V1.replace("1", "4")
IMAGES = {"r1": V2, "r2": V3}
RELEASES = st.sampled_from(sorted(IMAGES))
KILLS = st.one_of(st.just(10**6), st.integers(0, 12))


class Releases(RuleBasedStateMachine):
    """Two releases, of which the checks fail one; one person; Flagger."""

    def __init__(self) -> None:
        super().__init__()
        self.world = new_world()
        self.world.driven()
        self.world.flagger.bad.add(V3)
        self.by_hand = False

    def call(self, what: str, name: str, left: int, *, force: bool = False) -> None:
        """One step of one release, which may be killed before one of its writes."""
        backend = self.world.backend(force=force, kube=dying(self.world.kube, left))
        with contextlib.suppress(CoalmineError, Killed):
            if what == "canary":
                release(backend, IMAGES[name], name)
            else:
                getattr(backend, what)(service="iris", release_id=name)

    @rule(name=RELEASES, left=KILLS, force=st.booleans())
    def try_it(self, name: str, left: int, force: bool) -> None:
        self.call("canary", name, left, force=force)

    @rule(name=RELEASES, left=KILLS)
    def promote(self, name: str, left: int) -> None:
        self.call("promote", name, left)

    @rule(name=RELEASES, left=KILLS)
    def roll_back(self, name: str, left: int) -> None:
        self.call("rollback", name, left)

    @rule(looks=st.integers(1, 4))
    def look(self, looks: int) -> None:
        for _ in range(looks):
            self.world.step()

    @precondition(lambda self: not self.by_hand)
    @rule()
    def deploy_by_hand(self) -> None:
        self.by_hand = True
        self.world.set_image(V4)

    @rule(present=st.booleans())
    def change_the_environment(self, present: bool) -> None:
        env = [{"name": "B", "value": "2"}] if present else []
        self.world.edit(
            DEPLOYMENT,
            lambda now: now["spec"]["template"]["spec"]["containers"][0].update(env=env),
        )

    def teardown(self) -> None:
        """Whatever has happened, every run's finalize comes in the end."""
        for name in IMAGES:
            with contextlib.suppress(CoalmineError):
                self.world.backend(timeout=60).rollback(service="iris", release_id=name)
        for _ in range(40):
            self.world.step()
        world, flagger = self.world, self.world.flagger
        own = Ownership(world.kube)
        kept = own.read("iris")
        assert own.holder("iris") == "", "nobody owns a service whose releases have ended"
        assert kept is None or kept.record.phase not in {Phase.PREPARING, Phase.CANARY}
        assert flagger.phase in RESTING
        assert STOP not in str(world.canary()["spec"]), "nothing is left behind"
        assert world.canary()["spec"]["analysis"]["threshold"] == 5
        (image,) = flagger.shares()
        assert image in {V1, V2, V4} if self.by_hand else {V1, V2}
        assert world.worst.get(V3, 0) <= 40, "what the checks fail has its share at most"
        if kept and kept.record.phase is Phase.PROMOTED and not self.by_hand:
            assert image == kept.record.canary_image
        if not self.by_hand:
            assert flagger.image("iris") == image, "the Deployment is what serves"
        self.world.kube.close()


Releases.TestCase.settings = settings(max_examples=7, stateful_step_count=8, deadline=None)
TestReleases = Releases.TestCase


class ManyReleases(Releases):
    """The same for longer."""


ManyReleases.TestCase.settings = settings(max_examples=200, stateful_step_count=20, deadline=None)
TestManyReleases = pytest.mark.soak(pytest.mark.timeout(3600)(ManyReleases.TestCase))
