"""The simulated users count every request once, by who answered."""

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import pytest

from coalmine.demo.load import TRANSPORT_ERROR, Answer, Load, Tally

MODES = ("absent", "good", "bad")


class _Service(ThreadingHTTPServer):
    """A service that is first not routed, then good, then bad on every second request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode = "absent"
        self.answered: Counter[tuple[str, int]] = Counter()
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Service

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            mode = self.server.mode
            odd = sum(self.server.answered.values()) % 2 == 1
        if mode == "absent":
            self._answer(404, "")
        else:
            self._answer(500 if mode == "bad" and odd else 200, "iris-r1")

    def _answer(self, status: int, revision: str) -> None:
        with self.server.lock:
            if revision:
                self.server.answered[revision, status] += 1
        self.send_response(status)
        if revision:
            self.send_header("x-coalmine-revision", revision)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def service() -> Iterator[_Service]:
    server = _Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _until(load: Load, sent: int) -> None:
    done = threading.Event()
    while load.tally().sent() < sent:
        done.wait(0.01)


def test_counts_what_the_service_answered_from_its_first_answer_on(service: _Service) -> None:
    url = f"http://127.0.0.1:{service.server_port}/"
    with Load(url, ({"x": 1},), rate=400, users=4) as load:
        service.mode = "good"
        _until(load, 40)
        service.mode = "bad"
        _until(load, 80)
    tally = load.tally()
    assert {(a.revision, a.status): n for a, n in tally.counts.items()} == dict(service.answered)
    assert tally.failed() == tally.failed("iris-r1") > 0


def test_a_fault_of_the_load_itself_is_no_silence() -> None:
    load = Load("http://127.0.0.1:1/", (object(),), rate=10)
    with pytest.raises(TypeError), load:
        _until(load, 1)


def test_a_vanished_service_is_a_transport_error(service: _Service) -> None:
    url = f"http://127.0.0.1:{service.server_port}/"
    service.mode = "good"
    with Load(url, ({},), rate=200, users=1) as load:
        _until(load, 5)
        service.shutdown()
        service.server_close()
        while not load.tally().failed():
            threading.Event().wait(0.01)
            load._url = "http://127.0.0.1:1/"
    assert Answer("", TRANSPORT_ERROR) in load.tally().counts


def test_a_tally_counts_by_revision() -> None:
    tally = Tally(MappingProxyType({Answer("iris-r3", 500): 8, Answer("iris-r2", 200): 90}))
    assert (tally.sent(), tally.failed(), tally.sent("iris-r2")) == (98, 8, 90)
