"""A canary gets copies of requests: nobody waits for its answers, and no gate counts them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.local import LocalServing
from coalmine.serving.mirror import SAFE, Mirror, parse_mirror
from coalmine.serving.trial import Ways
from coalmine.stack.routing import Copied, mirror_of
from coalmine.stack.stack import Stack
from coalmine.stack.waiting import wait_for

MIRROR = mirror_of("iris-r2")


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    return shared_stack


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("", None),
        ("0", None),
        ("10", Mirror(10)),
        ("10 POST", Mirror(10, ("POST",))),
        ("100 POST,GET 60s", Mirror(100, ("GET", "POST"), timedelta(seconds=60))),
        ("5 ANY 0s", Mirror(5, (), timedelta())),
    ],
)
def test_the_setting(text: str, means: Mirror | None) -> None:
    assert parse_mirror(text) == means


@pytest.mark.parametrize("text", ["101", "-1", "ten", "10 post", "10 POST,", "10 121s", "10 60"])
def test_a_wrong_setting_is_told(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_mirror(text)
    assert caught.value.field == "mirror"


def canary(backend: LocalServing, release: str) -> None:
    backend.apply_canary(
        service="iris", image=f"{release}:ok", version=release, percent=10, release_id=release
    )


def counted(stack: Stack, cluster: str) -> int:
    """Requests of a cluster, as the gate's queries select them."""
    text = httpx.get(stack.endpoints().proxy_admin + "/stats/prometheus", trust_env=False).text
    label = f'{{envoy_cluster_name="{cluster}"}} '
    name = "envoy_cluster_upstream_rq_total" + label
    found = [line for line in text.splitlines() if line.startswith(name)]
    return int(found[0].rpartition(" ")[2]) if found else 0


@pytest.mark.integration
def test_copies_are_of_safe_requests_and_count_for_nobody(
    stack: Stack, backend: LocalServing
) -> None:
    canary(backend, "r1")
    backend.promote(service="iris", release_id="r1")
    canary(backend, "r2")
    servers, proxy = backend._servers, backend._proxy
    proxy.add_cluster(MIRROR, servers.port("iris-r2"))
    proxy.route("iris", {"iris-r1": 100}, copied=Copied(MIRROR, 100, SAFE))
    before = counted(stack, "iris-r2")
    with httpx.Client(trust_env=False, base_url=stack.endpoints().proxy) as client:
        for _ in range(10):
            for answer in (client.get("/iris/predict"), client.post("/iris/predict")):
                assert answer.headers["x-coalmine-revision"] == "iris-r1"

    def seen() -> list[str]:
        found: list[str] = httpx.get(servers.url("iris-r2") + "/seen", trust_env=False).json()
        return found

    assert wait_for(lambda: len(seen()) >= 10, seconds=30)
    assert wait_for(lambda: counted(stack, MIRROR) == 10, seconds=30)
    assert set(seen()) == {"GET /predict"}
    assert counted(stack, "iris-r2") == before
    assert {share.revision for share in backend.observe("iris").shares} == {"iris-r1"}
    backend.rollback(service="iris", release_id="r2")
    assert MIRROR not in proxy.admin.hosts()


@pytest.mark.integration
def test_copies_end_before_the_share_begins(
    stack: Stack, make_backend: Callable[..., LocalServing]
) -> None:
    ways = Ways(mirror=Mirror(100, hold=timedelta()))
    backend = make_backend(stack, ways=ways)
    canary(backend, "r1")
    backend.promote(service="iris", release_id="r1")
    canary(backend, "r2")
    assert MIRROR not in backend._proxy.admin.hosts()
    assert "request_mirror" not in json.dumps(backend._proxy.admin.route_dump())
    long = make_backend(stack, ways=Ways(mirror=Mirror(100, hold=timedelta(hours=1))))
    backend.rollback(service="iris", release_id="r2")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(canary, long, "r3")
        assert wait_for(lambda: backend._proxy.knows(mirror_of("iris-r3")), seconds=30)
        os.kill(stack.supervisor.states()["server-iris-r3"].pid, signal.SIGKILL)
        with pytest.raises(CoalmineError, match="iris-r3 ended before"):
            other.result()
    backend.rollback(service="iris", release_id="r3")
    assert {share.revision for share in backend.observe("iris").shares} == {"iris-r1"}
