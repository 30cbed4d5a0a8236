from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from coalmine._base.errors import CoalmineError
from coalmine.serving.local import LocalServing
from coalmine.serving.protocol import Phase, ReleaseRecord
from coalmine.serving.trial import Ways
from coalmine.stack.stack import Stack

pytestmark = pytest.mark.integration


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    return shared_stack


def canary(backend: LocalServing, release: str, image: str, **more: Any) -> ReleaseRecord:
    values = {"service": "iris", "percent": 10, "version": image.partition(":")[0], **more}
    return backend.apply_canary(image=image, release_id=release, **values)


def call(stack: Stack, path: str = "/iris/predict") -> httpx.Response:
    return httpx.get(stack.endpoints().proxy + path, trust_env=False)


def shares(backend: LocalServing) -> dict[str, int]:
    return {share.revision: share.percent for share in backend.observe("iris").shares}


def first(backend: LocalServing) -> None:
    canary(backend, "r1", "v1:ok")
    backend.promote(service="iris", release_id="r1")


def test_first_release_takes_all_traffic_and_is_promoted(
    stack: Stack, backend: LocalServing
) -> None:
    assert call(stack).status_code == 404
    record = canary(backend, "r1", "v1:ok")
    assert (record.phase, record.stable, record.percent) == (Phase.CANARY, "", 100)
    assert record.canary_since is not None
    answer = call(stack, "/iris/predict?x=1")
    assert answer.json() == {"version": "v1", "path": "/predict?x=1"}
    assert answer.headers["x-coalmine-revision"] == "iris-r1"
    assert backend.promote(service="iris", release_id="r1").phase is Phase.PROMOTED
    observed = backend.observe("iris")
    assert observed.url == stack.endpoints().proxy + "/iris"
    assert [(s.revision, s.version, s.percent, s.ready) for s in observed.shares] == [
        ("iris-r1", "v1", 100, True)
    ]


def test_first_release_rolled_back_leaves_no_route(stack: Stack, backend: LocalServing) -> None:
    canary(backend, "r1", "v1:bad")
    record = backend.rollback(service="iris", release_id="r1")
    assert record is not None
    assert record.phase is Phase.ROLLED_BACK
    assert call(stack).status_code == 404
    observed = backend.observe("iris")
    assert (observed.url, observed.shares) == ("", ())
    assert not (stack.layout.revisions / "iris-r1").exists()


def test_second_release_shares_then_takes_over(stack: Stack, backend: LocalServing) -> None:
    first(backend)
    canary(backend, "r2", "v2:ok", percent=25)
    assert shares(backend) == {"iris-r1": 75, "iris-r2": 25}
    backend.promote(service="iris", release_id="r2")
    assert shares(backend) == {"iris-r2": 100}
    assert set(stack.supervisor.states()) == {"envoy", "prometheus", "server-iris-r2"}
    assert [path.name for path in stack.layout.revisions.iterdir()] == ["iris-r2"]


def test_a_canary_gets_more_step_by_step(backend: LocalServing) -> None:
    first(backend)
    moments = [canary(backend, "r2", "v2:ok").canary_since]
    for percent in (25, 25, 50):
        record = backend.set_traffic(service="iris", percent=percent, release_id="r2")
        assert shares(backend) == {"iris-r1": 100 - percent, "iris-r2": percent}
        moments.append(record.canary_since)
    assert None not in moments
    assert moments[0] != moments[1] == moments[2] != moments[3]
    backend.promote(service="iris", release_id="r2")
    with pytest.raises(CoalmineError, match="no canary to give another share"):
        backend.set_traffic(service="iris", percent=60, release_id="r2")


def test_a_header_leads_to_the_canary(
    stack: Stack, make_backend: Callable[..., LocalServing]
) -> None:
    backend = make_backend(stack, ways=Ways(preview="blue"))
    first(backend)
    canary(backend, "r2", "v2:ok", percent=1)

    def asked(value: str) -> set[str]:
        url = stack.endpoints().proxy + "/iris/predict"
        headers = {"x-coalmine-preview": value}
        calls = [httpx.get(url, headers=headers, trust_env=False) for _ in range(5)]
        return {answer.headers["x-coalmine-revision"] for answer in calls}

    assert asked("blue") == {"iris-r2"}
    assert asked("red") != {"iris-r2"}
    assert shares(backend) == {"iris-r1": 99, "iris-r2": 1}
    make_backend(stack).set_traffic(service="iris", percent=2, release_id="r2")
    assert asked("blue") == {"iris-r2"}, "it leads there whatever share there is"
    backend.rollback(service="iris", release_id="r2")
    assert asked("blue") == {"iris-r1"}


def test_every_call_may_come_twice(backend: LocalServing) -> None:
    first(backend)
    assert backend.promote(service="iris", release_id="r1").phase is Phase.PROMOTED
    assert canary(backend, "r2", "v2:ok") == canary(backend, "r2", "v2:ok")
    once = backend.rollback(service="iris", release_id="r2")
    assert once == backend.rollback(service="iris", release_id="r2")
    assert shares(backend) == {"iris-r1": 100}


def test_a_canary_that_crashes_is_told_with_its_log(stack: Stack, backend: LocalServing) -> None:
    first(backend)
    with pytest.raises(CoalmineError, match=r"(?s)ended before.*ImportError: the model cannot"):
        canary(backend, "r2", "v2:crash")
    assert shares(backend) == {"iris-r1": 100}
    record = backend.rollback(service="iris", release_id="r2")
    assert record is not None
    assert record.phase is Phase.REMOVED
    assert "server-iris-r2" not in stack.supervisor.states()


def test_two_releases_for_one_service(backend: LocalServing) -> None:
    first(backend)
    canary(backend, "r2", "v2:ok")
    with pytest.raises(CoalmineError, match="owned by the release r2"):
        canary(backend, "r3", "v3:ok")
    assert backend.rollback(service="iris", release_id="r3") is None
    with pytest.raises(CoalmineError, match="does not own"):
        backend.promote(service="iris", release_id="r3")
    assert shares(backend) == {"iris-r1": 90, "iris-r2": 10}


def test_of_two_releases_at_once_one_gets_the_service(backend: LocalServing) -> None:
    first(backend)
    with ThreadPoolExecutor(3) as pool:
        tries = [pool.submit(canary, backend, f"r{number}", "v:ok") for number in (2, 3)]
        other = pool.submit(canary, backend, "o1", "v1:ok", service="other")
    failures = [str(each.exception()) for each in tries if each.exception()]
    assert len(failures) == 1
    assert "is owned by the release r" in failures[0]
    assert sorted(shares(backend).values()) == [10, 90]
    assert other.result().canary == "other-o1"
