"""Servers that are no launchers: whatever they answer, commands end with a sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.client.launcher import get_release

ANSWERS = {"html": b"<p>{a}</p>", "object": b'{"a": 1}', "list": b'[1, {"id": "r"}]', "no": b"null"}
ANSWERS["away"] = b"<p>Bad Gateway</p>"


class Liar(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = ANSWERS[self.path.split("/")[1]]
        self.send_response(502 if self.path.startswith("/away") else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def liar() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("answer", ["html", "object", "list", "no"])
@pytest.mark.parametrize(
    "words", ["status", "runs", "runs r1", "watch r1", "cancel r1", "logs r1", "release iris"]
)
def test_what_is_no_launcher_is_told(liar: str, words: str, answer: str) -> None:
    done = CliRunner().invoke(cli, [*words.split(), "--launcher", f"{liar}/{answer}"])
    assert isinstance(done.exception, CoalmineError), done.output
    assert done.exception.fix == "check that the URL is a launcher's"


def test_a_gateway_whose_launcher_is_away_is_no_wrong_input(liar: str) -> None:
    with pytest.raises(CoalmineError, match="answered 502") as caught:
        get_release(f"{liar}/away", "r1")
    assert not isinstance(caught.value, InputError)
