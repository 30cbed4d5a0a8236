"""A held canary waits for a person, whom a launcher is asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.gate.hold import Answer, held
from coalmine.gate.judge import Decision, Verdict
from coalmine.steps.person import person_behind

HELD = Decision(Verdict.HOLD, "too few requests", 3.0, ())


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (Answer.APPROVED, "promote", "approved by a person; too few requests"),
        (Answer.REJECTED, "rollback", "rejected by a person; too few requests"),
        (None, "hold", "held for a person to approve or reject: too few requests"),
    ],
)
def test_the_answer_is_the_verdict(answer: Answer | None, verdict: str, words: str) -> None:
    decision = held(HELD, lambda _: answer)
    assert (decision.verdict, decision.reason, decision.requests) == (verdict, words, 3.0)


def test_where_nobody_can_be_asked_nobody_is_waited_for() -> None:
    decision = held(HELD, None)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "no launcher is known" in decision.reason


class Launcher(ThreadingHTTPServer):
    reply: tuple[int, bytes]
    asked: list[tuple[str, str | None, object]]


class Handler(BaseHTTPRequestHandler):
    server: Launcher

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], told))
        status, body = self.server.reply
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    made = Launcher(("127.0.0.1", 0), Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, {"answer": ""}, None),
        (200, {}, None),
        (200, {"answer": "approved"}, Answer.APPROVED),
        (200, {"answer": "rejected"}, Answer.REJECTED),
        (200, {"answer": "maybe"}, None),
        (200, [], None),
        (200, "approved", None),
        (404, {"answer": "approved"}, None),
        (503, {}, None),
    ],
)
def test_only_a_launchers_own_word_counts(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, status: int, body: Any, answer: Any
) -> None:
    monkeypatch.setenv("COALMINE_TOKEN", "secret")
    launcher.reply = (status, json.dumps(body).encode())
    person = person_behind(f"http://127.0.0.1:{launcher.server_port}/", "r1")
    assert person is not None
    assert person("too few") is answer
    assert launcher.asked == [("/releases/r1/hold", "Bearer secret", {"reason": "too few"})]


def test_a_launcher_that_is_away_has_not_answered() -> None:
    person = person_behind("http://127.0.0.1:1", "r1")
    assert person is not None
    assert person("") is None


def test_without_a_launcher_there_is_no_person() -> None:
    assert person_behind("", "r1") is None
    for url in ("launcher:8080", "http://", "http://x:port"):
        with pytest.raises(InputError, match="no URL of a launcher"):
            person_behind(url, "r1")
