from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kube.client import Kube, StaleError
from coalmine.serving.kube.kept import Kept, from_config_map, to_config_map
from coalmine.serving.kube.ownership import LEASES, NotOwnerError, Ownership
from coalmine.serving.protocol import Phase, ReleaseRecord

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
RECORD = ReleaseRecord(
    service="iris",
    release_id="r1",
    phase=Phase.CANARY,
    canary="iris-predictor-00002",
    canary_image="registry.example.com/iris@sha256:" + "2" * 64,
    canary_version="2",
    stable="iris-predictor-00001",
    percent=10,
    canary_since=NOW,
)


@pytest.fixture
def own(kube: Kube) -> Ownership:
    return Ownership(kube, now=lambda: NOW)


@pytest.mark.parametrize("since", [NOW, None])
def test_a_record_comes_back_as_it_was_kept(since: datetime | None) -> None:
    kept = Kept(replace(RECORD, canary_since=since), {"image": "x"}, "7")
    assert from_config_map(to_config_map(kept)) == kept


def test_a_config_map_that_is_no_record_is_told() -> None:
    with pytest.raises(CoalmineError, match="coalmine-iris is no release record"):
        from_config_map({"metadata": {"name": "coalmine-iris"}, "data": {"phase": "canary"}})


def test_of_two_writers_one_succeeds(own: Ownership) -> None:
    first = own.write(Kept(RECORD))
    assert own.read("iris") == first
    own.write(first.noted(a="1"))
    with pytest.raises(StaleError):
        own.write(first.noted(a="2"))
    with pytest.raises(StaleError):
        own.write(Kept(RECORD))
    read = own.read("iris")
    assert read is not None
    assert read.notes == {"a": "1"}


def test_a_lease_passes_only_from_the_release_it_may_be_taken_from(
    own: Ownership, kube: Kube
) -> None:
    own.claim("iris", "r1")
    with pytest.raises(NotOwnerError, match="r1, last at work 2026-01-31T12:00:00") as caught:
        own.claim("iris", "r2", over="r0")
    assert "--force-takeover" in caught.value.fix
    own.renew("iris", "r1")
    own.claim("iris", "r2", over="r1")
    assert own.holder("iris") == "r2"
    own.give_up("iris", "r1")
    assert own.holder("iris") == "r2"
    own.give_up("iris", "r2")
    assert own.holder("iris") == ""
    own.claim("iris", "r3")
    lease = kube.get(LEASES, "coalmine-iris")
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 2


def test_a_release_is_ended_by_the_backend_that_began_it(kube: Kube) -> None:
    record = ReleaseRecord("iris", "r1", Phase.CANARY, "iris-2", "image", "2")
    kept = Ownership(kube, backend="kserve").write(Kept(record))
    other = Ownership(kube, backend="kfserving")
    with pytest.raises(InputError, match="--serving kserve"):
        other.read("iris")
    ended = replace(record, phase=Phase.ROLLED_BACK)
    Ownership(kube, backend="kserve").write(kept.with_record(ended))
    found = other.read("iris")
    assert found is not None
    assert found.record == ended
