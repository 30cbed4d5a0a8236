from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.serving.kube.client import StaleError
from coalmine.serving.kube.diagnosis import PATIENCE, Patient
from coalmine.serving.kube.drive import Timing
from coalmine.serving.kube.ending import patiently


@settings(max_examples=50)
@given(st.integers(1, 1000), st.floats(0, 60))
def test_pauses_grow_to_a_limit_and_end_when_a_fault_is_due(turn: int, patience: float) -> None:
    pause = Timing().pause(turn, patience)
    assert 0 < pause <= 5.5
    if patience:
        assert pause <= patience
    assert turn > 1 or pause <= 1.1


def test_two_releases_do_not_look_in_step() -> None:
    timing = Timing()
    assert len({timing.pause(5, 0) for _ in range(10)}) > 1


def test_a_fault_is_told_within_15_seconds_of_when_it_shows() -> None:
    longest = Timing(jitter=lambda: 1.1).pause(1000, 0)
    assert longest + PATIENCE < 15


def test_the_next_look_is_when_a_fault_has_lasted_long_enough() -> None:
    now = [100.0]
    patient = Patient(lambda: now[0])
    assert patient.left() == 0
    patient.first = {"probe": 80.0, "image": 98.0}
    assert patient.left() == PATIENCE - 2
    now[0] = 200.0
    assert patient.left() == 0


def test_a_server_that_says_nothing_is_given_up_within_a_steps_time() -> None:
    now = [0.0]
    asked = []

    def decide() -> None:
        asked.append(now[0])
        now[0] += 42.0  # four tries of a read, ten seconds each
        raise StaleError("the API server did not answer")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(StaleError):
        patiently(decide, Timing(clock=lambda: now[0], sleep=sleep))
    assert len(asked) > 1
    assert now[0] < 200


def test_what_moves_on_and_on_is_decided_anew_and_anew() -> None:
    left = iter(range(10))

    def decide() -> str:
        if next(left, None) is None:
            return "decided"
        raise StaleError("somebody has written")

    assert patiently(decide, Timing(clock=lambda: 0.0, sleep=lambda _: None)) == "decided"
