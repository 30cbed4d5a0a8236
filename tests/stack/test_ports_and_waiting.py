from __future__ import annotations

import socket

import pytest

from coalmine._base.errors import CoalmineError
from coalmine.stack.ports import RANGE, free_port, is_free
from coalmine.stack.waiting import wait_for


class Clock:
    """Goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_free_ports_lie_below_those_of_outgoing_connections() -> None:
    assert free_port() in RANGE
    assert free_port(frozenset(RANGE) - {RANGE[7]}, free=lambda port: True) == RANGE[7]


def test_no_free_port_is_an_error() -> None:
    with pytest.raises(CoalmineError, match="no port between 20000 and 31999 is free"):
        free_port(free=lambda port: False)


def test_waiting_gives_what_was_seen() -> None:
    clock = Clock()
    seen = wait_for(lambda: clock.now >= 3 and "here", seconds=5, clock=clock, sleep=clock.sleep)
    assert seen == "here"
    assert 3 <= clock.now < 3.1


def test_waiting_ends_and_looks_at_least_once() -> None:
    clock = Clock()
    assert wait_for(lambda: None, seconds=5, clock=clock, sleep=clock.sleep) is None
    assert 5 <= clock.now < 5.1
    assert wait_for(lambda: True, seconds=0, clock=clock, sleep=clock.sleep)
