"""Logs of pods: what a reader gets, and what it costs the API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.kube.logs import LOG_BYTES
from coalmine.engines.kube.tail import LONGEST_LINE, Mark, Tail
from tests.engines.kubefix import make_engine, wait_ended
from tests.engines.replay import RUN, play
from tests.kubeapi.faults import Fault
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.podlogs import log_text
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import bad_request, forbidden

CONTAINERS = {"tekton": "step-main", "argo": "main"}


class Ended:
    """An engine with a run that has ended, and the log of its gate."""

    def __init__(self, api: KubeApi, folder: Path, name: str) -> None:
        self.api, self.folder, self.name = api, folder, name
        self.engine = self.again()
        for _ in play(api, f"{name}-promote"):
            pass
        wait_ended(self.engine)
        self.read()
        path = api.said("GET", "/log")[-1][0]
        self.pod = path.partition("/pods/")[2].partition("/")[0]
        self.key = ("ci", self.pod, CONTAINERS[name])

    def again(self) -> KubeEngine:
        engine = make_engine(self.api, self.folder, self.name)
        engine.open()
        return engine

    def read(self, start: int = 0) -> bytes:
        return self.engine.logs(RUN, "gate", start)


@pytest.fixture(params=["tekton", "argo"])
def ended(request: pytest.FixtureRequest, api: KubeApi, tmp_path: Path) -> Iterator[Ended]:
    made = Ended(api, tmp_path, request.param)
    yield made
    made.engine.close()


def test_logs_come_from_the_pod_from_any_byte_on(ended: Ended) -> None:
    pods = {"tekton": "coalmine-r1-gate-pod", "argo": "coalmine-r1-gate-"}
    assert ended.pod.startswith(pods[ended.name])
    ended.api.app.logs[ended.key] = "one\ntwo\n"
    assert ended.read() == b"one\ntwo\n"
    assert [ended.read(start) for start in (8, 4, 6)] == [b"", b"two\n", b"o\n"]
    assert ended.engine.logs(RUN, "rollback") == b""
    ended.api.app.logs[ended.key] = "x" * (LOG_BYTES + 5)
    assert len(ended.read()) == LOG_BYTES
    assert ended.read(LOG_BYTES) == b"xxxxx"


def test_to_follow_a_log_costs_what_is_new_in_it(ended: Ended) -> None:
    ended.read()
    ended.api.app.log_bytes = 0
    text, seen = "", b""
    for number in range(100):
        text += f'{{"looked": {number}, "verdict": "wait"}}\n'
        ended.api.app.logs[ended.key] = text
        seen += ended.read(len(seen))
    assert seen.decode() == text
    # Moments, and what comes again of the same second; read anew each time it would be 96 times.
    assert ended.api.app.log_bytes < 15 * len(text)
    ended.engine.close()
    ended.engine = ended.again()
    wait_ended(ended.engine)
    ended.api.app.logs[ended.key] = text + "more\n"
    assert ended.read(len(seen)) == b"more\n"


def test_two_that_follow_do_not_disturb_each_other(ended: Ended) -> None:
    ended.api.app.logs[ended.key] = "a\nb\n"
    assert (ended.read(), ended.read(2)) == (b"a\nb\n", b"b\n")
    ended.api.app.logs[ended.key] = "a\nb\nc\n"
    assert (ended.read(4), ended.read(2), ended.read(4)) == (b"c\n", b"b\nc\n", b"c\n")


def test_a_pod_that_is_gone_is_said(ended: Ended) -> None:
    ended.api.app.gone.add(("ci", ended.pod))
    with pytest.raises(CoalmineError, match=f"the pod {ended.pod} is gone from ci") as caught:
        ended.read()
    assert "keep pods for longer" in caught.value.fix


def test_a_right_that_is_missing_is_said(ended: Ended) -> None:
    refusal = forbidden(kind_of("v1", "Pod"), "get", "ci", "the-launcher")
    ended.api.app.faults.add(Fault("GET", "/log", refusal=refusal))
    with pytest.raises(CoalmineError, match=r"get pods/log in ci: 403: .*forbidden") as caught:
        ended.read()
    assert "docs/engines.md" in caught.value.fix


def test_a_container_that_is_being_made_has_written_nothing(ended: Ended) -> None:
    waits = bad_request('container "main" in pod "x" is waiting to start: PodInitializing')
    ended.api.app.faults.add(Fault("GET", "/log", refusal=waits))
    assert ended.read() == b""
    other = bad_request(f"container main is not valid for pod {ended.pod}")
    ended.api.app.faults.add(Fault("GET", "/log", refusal=other))
    with pytest.raises(CoalmineError, match="is not valid for pod"):
        ended.read()


PIECES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["a\n", "bb\n", "\n", "part", "☂\n", "9Z x\n"])),
    max_size=14,
)


def stamped(pieces: list[tuple[int, str]]) -> list[tuple[str, str]]:
    """Pieces so many third parts of a second after one another."""
    at, found = 0, []
    for after, piece in pieces:
        at += after
        found.append((f"2026-01-01T00:00:{at // 3:02}.{at % 3 * 333:03}000000+02:00", piece))
    return found


@settings(max_examples=50, deadline=None)
@given(PIECES, st.integers(1, 9), st.integers(1, 5))
def test_nothing_is_lost_or_doubled(pieces: list[tuple[int, str]], most: int, cut: int) -> None:
    """Whatever comes between two reads, however it is cut, and however little is read at once."""
    written = stamped(pieces)
    mark, seen = Mark("p"), b""
    for there in range(1, len(written) + 1):
        while True:
            query = {"timestamps": "true"} | ({"sinceTime": mark.since} if mark.since else {})
            text = log_text(written[:there], query)
            tail = Tail(mark, 0, most)
            parts = [text[at : at + cut] for at in range(0, len(text), cut)]
            found = tail.read(parts)
            mark = tail.mark
            if not found:
                break
            seen += found
    assert seen.decode() == "".join(piece for _, piece in written)


def test_a_log_that_was_cut_off_at_its_beginning_goes_on(ended: Ended) -> None:
    """As the kubelet does with one of more than 10 MB: it gives the newest file alone."""
    written = stamped([(1, f"{number}\n") for number in range(9)])
    ended.api.app.logs[ended.key] = written[:6]
    assert ended.read() == b"0\n1\n2\n3\n4\n5\n"
    ended.api.app.logs[ended.key] = written[7:]
    assert ended.read(12) == b"7\n8\n"


def test_bytes_that_are_yet_to_come_are_not_taken_for_read() -> None:
    text = log_text("one\n", {"timestamps": "true"})
    tail = Tail(Mark("p"), 9, 100)
    assert (tail.read([text]), tail.short) == (b"", 5)


def test_a_line_without_end_is_not_kept_in_memory() -> None:
    first = log_text("one\n", {"timestamps": "true"})
    part, sent = bytes(1 << 20), 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield first
        while True:
            sent += len(part)
            yield part

    tail = Tail(Mark("p"), 0, 100)
    assert tail.read(endless()) == b"one\n"
    with pytest.raises(CoalmineError, match="more than 16 MiB"):
        Tail(tail.mark, 0, 100).read(endless())
    assert sent <= 2 * (LONGEST_LINE + len(part))
