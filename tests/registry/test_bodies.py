"""Bodies that end too early, or never; every fault is given by a real HTTP server."""

from __future__ import annotations

import contextlib
import logging
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from bad_registry import BadRegistry, Exchange

from coalmine._base.errors import CoalmineError
from coalmine._base.log import log_json_lines
from coalmine.registry.client import Manifest, RemoteRepository

Opener = Callable[..., AbstractContextManager[RemoteRepository]]
MANIFEST = Manifest(b'{"schemaVersion": 2}', "application/vnd.oci.image.manifest.v1+json")
_ENOUGH = 256 << 20


def _endless(exchange: Exchange) -> bool:
    """Send a body in pieces, without saying how long it is, until nobody listens."""
    exchange.send_response(200)
    exchange.send_header("Transfer-Encoding", "chunked")
    exchange.end_headers()
    piece = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    with contextlib.suppress(OSError):
        for _ in range(_ENOUGH >> 20):
            exchange.wfile.write(piece)
    exchange.close_connection = True
    return True


def _swelling(exchange: Exchange) -> bool:
    packer, piece = zlib.compressobj(1, wbits=31), bytes(1 << 20)
    packed = b"".join(packer.compress(piece) for _ in range(_ENOUGH >> 20)) + packer.flush()
    with contextlib.suppress(OSError):
        exchange.answer(200, packed, Content_Encoding="gzip")
    exchange.close_connection = True
    return True


@pytest.mark.parametrize("body", [_endless, _swelling])
def test_an_answer_that_does_not_end_is_not_taken_into_memory(
    bad: BadRegistry, remote: RemoteRepository, body: Callable[[Exchange], bool]
) -> None:
    bad.misbehave = lambda exchange: exchange.command == "GET" and body(exchange)
    tracemalloc.start()
    try:
        with pytest.raises(CoalmineError, match=r"/v2/me/iris/manifests/v1: .* has over") as caught:
            remote.pull_manifest("v1")
        assert tracemalloc.get_traced_memory()[1] < _ENOUGH / 2
    finally:
        tracemalloc.stop()
    assert bad.host in caught.value.message


def test_a_token_that_does_not_end_is_refused(bad: BadRegistry, remote: RemoteRepository) -> None:
    def misbehave(exchange: Exchange) -> bool:
        if exchange.path.startswith("/token"):
            return _endless(exchange)
        wanted = f'Bearer realm="http://{bad.host}/token"'
        return exchange.answer(401, WWW_Authenticate=wanted)

    bad.misbehave = misbehave
    with pytest.raises(CoalmineError, match=r"token for .* has over"):
        remote.pull_manifest("v1")


def test_an_answer_that_was_cut_off_is_asked_for_again(
    bad: BadRegistry, remote: RemoteRepository, waited: list[float]
) -> None:
    bad.manifests["v1"] = MANIFEST.content, MANIFEST.media_type
    left = [2]

    def cut(exchange: Exchange) -> bool:
        left[0] -= 1
        if left[0] < 0:
            return False
        exchange.answer(200, MANIFEST.content[:9], Content_Length=str(len(MANIFEST.content)))
        return exchange.drop()

    bad.misbehave = cut
    assert remote.pull_manifest("v1") == MANIFEST
    assert waited == [0.25, 0.5]
    left[0] = 99
    with pytest.raises(CoalmineError, match="the connection failed"):
        remote.pull_manifest("v1")


def test_signed_locations_are_not_logged(
    bad: BadRegistry, remote: RemoteRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    bad.manifests["moved"] = MANIFEST.content, MANIFEST.media_type
    signed = "/v2/me/iris/manifests/moved?X-Amz-Signature=secret"
    bad.misbehave = lambda e: e.path.endswith("v1") and e.answer(307, Location=signed)
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    try:
        log_json_lines()
        assert remote.pull_manifest("v1") == MANIFEST
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    assert bad.requests("GET")[-1] == signed
    assert "secret" not in capsys.readouterr().err
