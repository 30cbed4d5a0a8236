from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.protocol import Phase, ReleaseRecord
from coalmine.serving.record import (
    begun,
    promoted,
    retired,
    routed,
    shifted,
    split,
    undone,
    withdrawn,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def begin(previous: ReleaseRecord | None = None, **more: Any) -> ReleaseRecord:
    values = {"service": "s", "image": "i", "version": "v", "percent": 10, "release_id": "r"}
    return begun(previous, **{**values, **more})


def at(phase: Phase, **more: Any) -> ReleaseRecord:
    since = NOW if phase is not Phase.PREPARING else None
    return replace(begin(), **{"phase": phase, "canary_since": since, **more})


records = st.builds(
    at,
    st.sampled_from(Phase),
    stable=st.sampled_from(["", "s-old"]),
    percent=st.integers(1, 99),
)


@given(records)
def test_the_split_is_whole_or_nothing(record: ReleaseRecord) -> None:
    assert sum(split(record).values()) in (0, 100)
    assert all(percent > 0 for percent in split(record).values())


@given(records)
def test_what_is_retired_gets_no_traffic(record: ReleaseRecord) -> None:
    assert retired(record) not in split(record)


@given(records)
def test_withdrawing_twice_is_withdrawing_once(record: ReleaseRecord) -> None:
    once = withdrawn(record)
    assert withdrawn(once) == once
    assert (once.canary in split(once)) == (record.phase is Phase.PROMOTED)


@given(records, st.booleans())
def test_the_next_release_starts_from_what_serves(record: ReleaseRecord, end: bool) -> None:
    ended = withdrawn(record) if end else replace(record, phase=Phase.PROMOTED)
    after = begin(ended, release_id="next")
    assert split(after) == split(ended)
    assert after.canary == "s-next"


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.CANARY])
def test_an_unfinished_release_keeps_others_out(phase: Phase) -> None:
    with pytest.raises(CoalmineError, match=f"owned by the release r, which is in phase {phase}"):
        begin(at(phase), release_id="other")
    assert begin(at(phase)) == at(phase)


@pytest.mark.parametrize("phase", [Phase.PROMOTED, Phase.ROLLED_BACK, Phase.REMOVED])
def test_an_ended_release_does_not_begin_again(phase: Phase) -> None:
    with pytest.raises(CoalmineError, match=f"has ended as {phase}"):
        begin(at(phase))


@pytest.mark.parametrize(
    "wrong",
    [
        {"percent": 0},
        {"percent": 100},
        {"percent": -1},
        {"image": ""},
        {"service": "a.b"},
        {"service": "../x"},
        {"service": ""},
        {"release_id": "a/b"},
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        begin(**wrong)
    assert raised.value.field in wrong


def test_the_same_release_with_another_image_is_refused() -> None:
    with pytest.raises(InputError, match="began with another image"):
        begin(at(Phase.CANARY), image="other")


def test_only_an_owner_with_traffic_is_promoted() -> None:
    assert promoted(at(Phase.CANARY), "r", "s").phase is Phase.PROMOTED
    assert promoted(at(Phase.PROMOTED), "r", "s") == at(Phase.PROMOTED)
    refused: list[ReleaseRecord | None] = [
        None,
        at(Phase.PREPARING),
        replace(at(Phase.CANARY), canary_since=None),
        at(Phase.ROLLED_BACK),
        at(Phase.REMOVED),
        replace(at(Phase.CANARY), release_id="other"),
    ]
    for record in refused:
        with pytest.raises(CoalmineError, match="r"):
            promoted(record, "r", "s")


@given(records, st.integers(1, 99))
def test_another_share_is_judged_anew(record: ReleaseRecord, percent: int) -> None:
    if record.phase is not Phase.CANARY:
        with pytest.raises(CoalmineError, match=f"it is in phase {record.phase}"):
            shifted(record, "r", "s", percent)
        return
    after = shifted(record, "r", "s", percent)
    assert shifted(after, "r", "s", percent) == after
    assert split(after)[record.canary] == (percent if record.stable else 100)
    changed = bool(record.stable) and percent != record.percent
    assert (after.canary_since is None) == changed


@pytest.mark.parametrize("percent", [0, 100])
def test_another_share_is_a_share(percent: int) -> None:
    with pytest.raises(InputError, match="is not from 1 to 99"):
        shifted(at(Phase.CANARY, stable="s-old"), "r", "s", percent)
    with pytest.raises(CoalmineError, match="does not own"):
        shifted(at(Phase.CANARY, stable="s-old"), "other", "s", 10)


def test_a_promotion_taken_back_leaves_what_was_stable() -> None:
    before = at(Phase.PROMOTED, stable="s-old")
    assert split(undone(before)) == {"s-old": 100}
    assert retired(undone(before)) == before.canary


def test_the_first_moment_with_a_share_stays() -> None:
    first = routed(at(Phase.CANARY, canary_since=None), NOW)
    assert first.canary_since == NOW
    assert routed(first, datetime(2027, 1, 1, tzinfo=UTC)) == first
