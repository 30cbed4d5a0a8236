"""A registry that misbehaves; every fault is given by a real HTTP server."""

from __future__ import annotations

import io
import json
import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from bad_registry import BadRegistry, Exchange, bad_registry

from coalmine._base.errors import CoalmineError, InputError
from coalmine.registry import connections
from coalmine.registry.client import Manifest, RemoteRepository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.source import BlobSource, bytes_source

Opener = Callable[..., AbstractContextManager[RemoteRepository]]
BLOB = random.Random(1).randbytes(3_000_000)


def _times(count: int, act: Callable[[Exchange], bool], method: str) -> Callable[[Exchange], bool]:
    left = [count]

    def misbehave(exchange: Exchange) -> bool:
        if exchange.command != method or not left[0]:
            return False
        left[0] -= 1
        return act(exchange)

    return misbehave


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_trying_again_cannot_mend_is_wrong_input(
    bad: BadRegistry, remote: RemoteRepository, waited: list[float], status: int
) -> None:
    said = b'{"errors": [{"code": "DENIED", "message": "not for you"}]}'
    bad.misbehave = _times(9, lambda e: e.body() is not None and e.answer(status, said), "POST")
    with pytest.raises(InputError, match=rf"answered {status}: DENIED not for you") as caught:
        remote.push_blob(bytes_source(b"x"))
    assert caught.value.exit_code == 2
    assert caught.value.fix
    assert waited == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(
    bad: BadRegistry, remote: RemoteRepository, waited: list[float], status: int
) -> None:
    bad.misbehave = _times(2, lambda e: e.answer(status), "POST")
    assert remote.push_blob(bytes_source(b"x")).sent_bytes == 1
    assert waited == [0.25, 0.5]


def test_retry_after_is_obeyed_but_not_for_hours(
    bad: BadRegistry, remote: RemoteRepository, waited: list[float]
) -> None:
    bad.misbehave = _times(1, lambda e: e.answer(429, Retry_After="7"), "HEAD")
    assert not remote.has_blob(bytes_source(b"x").digest)
    assert waited == [7.0]
    bad.misbehave = _times(1, lambda e: e.answer(429, Retry_After="3600"), "HEAD")
    with pytest.raises(CoalmineError, match="answered 429") as caught:
        remote.has_blob(bytes_source(b"x").digest)
    assert caught.value.exit_code == 1


def test_it_gives_up_in_the_end(
    bad: BadRegistry, remote: RemoteRepository, waited: list[float]
) -> None:
    bad.misbehave = _times(99, lambda e: e.answer(500), "GET")
    with pytest.raises(CoalmineError, match="answered 500"):
        remote.pull_manifest("v1")
    assert len(waited) == 4


def test_nobody_there_is_said_so(opener: Opener, waited: list[float]) -> None:
    with (
        opener("127.0.0.1:1") as remote,
        pytest.raises(CoalmineError, match="the connection failed") as caught,
    ):
        remote.pull_manifest("v1")
    assert "can be reached" in caught.value.fix


def _keep_half(exchange: Exchange) -> bool:
    """Take half of a body, then close the connection."""
    name = exchange.path.partition("?")[0].rpartition("/")[2]
    exchange.registry.uploads[name] += exchange.body(exchange.length // 2)
    return exchange.drop()


def test_an_upload_that_broke_is_resumed_where_it_broke(
    bad: BadRegistry, remote: RemoteRepository
) -> None:
    bad.misbehave = _times(1, _keep_half, "PUT")
    source = bytes_source(BLOB)
    assert remote.push_blob(source).sent_bytes == len(BLOB)
    assert bad.blobs[source.digest] == BLOB
    last = bad.seen[-1][2]
    assert last["Content-Range"] == f"1500000-{len(BLOB) - 1}"
    assert int(last["Content-Length"]) == 1_500_000


def test_chunks_are_sent_in_order_and_a_broken_one_is_resumed(
    bad: BadRegistry, opener: Opener
) -> None:
    bad.misbehave = _times(1, _keep_half, "PATCH")
    source = bytes_source(BLOB)
    with opener(bad.host, options=RegistryOptions(chunk_bytes=1_000_000)) as remote:
        remote.push_blob(source)
    assert bad.blobs[source.digest] == BLOB
    ranges = [h["Content-Range"] for m, _, h in bad.seen if "Content-Range" in h and m == "PATCH"]
    assert ranges == ["0-999999", "500000-1499999", "1500000-2499999"]


def test_an_upload_that_the_registry_forgot_begins_again(
    bad: BadRegistry, remote: RemoteRepository
) -> None:
    bad.misbehave = _times(1, lambda e: bool(e.body()) and e.answer(404), "PUT")
    source = bytes_source(BLOB)
    remote.push_blob(source)
    assert bad.blobs[source.digest] == BLOB
    assert len(bad.requests("POST")) == 2


def test_an_answer_that_was_lost_is_looked_for(bad: BadRegistry, remote: RemoteRepository) -> None:
    def lose(exchange: Exchange) -> bool:
        exchange.registry.add(exchange.body())
        return exchange.drop()

    bad.misbehave = _times(1, lose, "PUT")
    remote.push_blob(bytes_source(BLOB))
    assert len(bad.requests("PUT")) == 1


def test_a_file_that_changed_is_not_stored_as_another(
    bad: BadRegistry, remote: RemoteRepository
) -> None:
    wrong = replace(bytes_source(BLOB), digest="sha256:" + "0" * 64)
    with pytest.raises(CoalmineError, match="400: DIGEST_INVALID"):
        remote.push_blob(wrong)


def test_a_blob_with_other_bytes_is_refused(bad: BadRegistry, remote: RemoteRepository) -> None:
    digest = bad.add(BLOB)
    bad.blobs[digest] = BLOB[:-1] + b"!"
    with pytest.raises(CoalmineError, match="gave other bytes"):
        remote.pull_blob(digest, io.BytesIO())


def test_a_manifest_with_other_bytes_is_refused(bad: BadRegistry, remote: RemoteRepository) -> None:
    digest = bytes_source(b"{}").digest
    bad.manifests[digest] = b"{ }", "application/json"
    with pytest.raises(CoalmineError, match="other bytes than the manifest"):
        remote.pull_manifest(digest)


def test_a_registry_that_stores_other_bytes_is_found_out(
    bad: BadRegistry, remote: RemoteRepository
) -> None:
    def other(exchange: Exchange) -> bool:
        exchange.body()
        return exchange.answer(201, Docker_Content_Digest="sha256:" + "1" * 64)

    bad.misbehave = _times(2, other, "PUT")
    with pytest.raises(CoalmineError, match="stored sha256:1111"):
        remote.push_manifest(Manifest(b"{}", "application/json"), "v1")
    with pytest.raises(CoalmineError, match="stored sha256:1111"):
        remote.push_blob(bytes_source(b"x"))


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_that_broke_is_resumed(
    bad: BadRegistry, remote: RemoteRepository, knows_ranges: bool
) -> None:
    digest = bad.add(BLOB)

    def half(exchange: Exchange) -> bool:
        exchange.answer(200, BLOB[:2_000_000], Content_Length=str(len(BLOB)))
        return exchange.drop()

    def then_whole(exchange: Exchange) -> bool:
        return len(bad.requests("GET")) > 1 and not knows_ranges and exchange.answer(200, BLOB)

    first = _times(1, half, "GET")
    bad.misbehave = lambda e: first(e) or then_whole(e)
    out = io.BytesIO()
    assert remote.pull_blob(digest, out) == len(BLOB)
    assert out.getvalue() == BLOB
    assert bad.seen[1][2]["Range"] == "bytes=2000000-"


@pytest.fixture
def logged_in(tmp_path: Path, bad: BadRegistry) -> RegistryOptions:
    config = tmp_path / "config.json"
    auths = {bad.host: {"username": "me", "password": "secret"}}
    config.write_text(json.dumps({"auths": auths}))
    return RegistryOptions(credential_files=(config,))


def _wants_basic(exchange: Exchange) -> bool:
    if exchange.headers.get("Authorization") == "Basic bWU6c2VjcmV0":
        return False
    exchange.body()
    return exchange.answer(401, WWW_Authenticate='Basic realm="here"')


def test_credentials_are_not_sent_to_another_host(
    bad: BadRegistry, opener: Opener, logged_in: RegistryOptions
) -> None:
    with bad_registry() as other, opener(bad.host, options=logged_in) as remote:
        digest = other.add(BLOB)

        def away(exchange: Exchange) -> bool:
            to = f"http://{other.host}{exchange.path}"
            return _wants_basic(exchange) or exchange.answer(307, Location=to)

        bad.misbehave = away
        out = io.BytesIO()
        remote.pull_blob(digest, out)
    assert out.getvalue() == BLOB
    assert "Authorization" in bad.seen[-1][2]
    assert [headers.get("Authorization") for _, _, headers in other.seen] == [None]


def test_a_redirect_to_a_host_without_tls_is_refused(
    bad: BadRegistry, remote: RemoteRepository
) -> None:
    bad.misbehave = lambda e: e.answer(307, Location="http://storage.example/x")
    with pytest.raises(InputError, match=r"storage\.example without TLS"):
        remote.pull_blob(bytes_source(b"").digest, io.BytesIO())


def test_redirects_in_a_circle_end(bad: BadRegistry, remote: RemoteRepository) -> None:
    bad.misbehave = lambda e: e.answer(307, Location=e.path)
    with pytest.raises(CoalmineError, match="redirected too often"):
        remote.pull_blob(bytes_source(b"").digest, io.BytesIO())


def test_a_body_is_sent_again_with_the_credentials(
    bad: BadRegistry, opener: Opener, logged_in: RegistryOptions
) -> None:
    bad.misbehave = lambda e: e.command == "PUT" and _wants_basic(e)
    source: BlobSource = bytes_source(BLOB)
    with opener(bad.host, options=logged_in) as remote:
        remote.push_blob(source)
    assert bad.blobs[source.digest] == BLOB


def test_unknown_authentication_is_named(bad: BadRegistry, remote: RemoteRepository) -> None:
    bad.misbehave = lambda e: e.answer(401, WWW_Authenticate="Negotiate abc")
    with pytest.raises(InputError, match="wants 'negotiate' authentication"):
        remote.has_blob(bytes_source(b"").digest)


def test_an_endless_answer_is_not_read(bad: BadRegistry, remote: RemoteRepository) -> None:
    bad.misbehave = lambda e: e.answer(200, b"", Content_Length="99999999999") and e.drop()
    with pytest.raises(CoalmineError, match="over 16777216 bytes"):
        remote.pull_manifest("v1")


@pytest.mark.parametrize("code", ["MANIFEST_BLOB_UNKNOWN", "DIGEST_INVALID"])
@pytest.mark.parametrize(("unseen", "tries"), [(2, 3), (9, 5)])
def test_a_manifest_is_sent_again_where_a_blob_is_not_seen_yet(
    bad: BadRegistry, remote: RemoteRepository, unseen: int, tries: int, code: str
) -> None:
    def misbehave(exchange: Exchange) -> bool:
        if exchange.command != "PUT" or len(bad.requests("PUT")) > unseen:
            return False
        exchange.body()
        return exchange.answer(400, json.dumps({"errors": [{"code": code}]}).encode())

    bad.misbehave = misbehave
    manifest = Manifest(b"{}", "application/vnd.oci.image.manifest.v1+json")
    if unseen < tries:
        remote.push_manifest(manifest, "v1")
        assert bad.manifests["v1"][0] == b"{}"
    else:
        with pytest.raises(CoalmineError, match=code):
            remote.push_manifest(manifest, "v1")
    assert len(bad.requests("PUT")) == tries


def test_a_registry_may_take_its_time_to_store_a_large_blob(
    bad: BadRegistry, remote: RemoteRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(connections, "_STORED_BYTES", len(BLOB) / 30)

    def slowly(exchange: Exchange) -> bool:
        threading.Event().wait(1.5 if exchange.command == "PUT" else 0)
        return False

    bad.misbehave = slowly
    assert remote.push_blob(bytes_source(BLOB)).sent_bytes == len(BLOB)
    assert len(bad.requests("PUT")) == 1


def test_more_than_a_blob_is_said_to_have_is_not_taken(
    bad: BadRegistry, remote: RemoteRepository
) -> None:
    out, digest = io.BytesIO(), bad.add(BLOB)
    with pytest.raises(CoalmineError, match="more than the 1000 bytes"):
        remote.pull_blob(digest, out, most=1000)
    assert len(out.getvalue()) <= 1000
    assert remote.pull_blob(digest, out, most=len(BLOB)) == len(BLOB)


def test_a_proxy_that_takes_no_large_body_is_told(bad: BadRegistry, opener: Opener) -> None:
    def refuse(exchange: Exchange) -> bool:
        if exchange.length <= 1 << 20:
            return False
        exchange.body()
        return exchange.answer(413, b"<html>413 Request Entity Too Large</html>")

    bad.misbehave = refuse
    with opener(bad.host) as remote, pytest.raises(InputError, match="answered 413") as caught:
        remote.push_blob(bytes_source(BLOB))
    assert "COALMINE_REGISTRY_CHUNK_MIB" in caught.value.fix
    with opener(bad.host, options=RegistryOptions(chunk_bytes=1 << 20)) as remote:
        assert remote.push_blob(bytes_source(BLOB)).sent_bytes == len(BLOB)


def test_authorities_that_cannot_be_read_are_told(opener: Opener, tmp_path: Path) -> None:
    options = RegistryOptions(ca_file=tmp_path)
    with (
        opener("127.0.0.1:1", options=options) as remote,
        pytest.raises(InputError, match="Is a directory") as caught,
    ):
        remote.pull_manifest("v1")
    assert caught.value.field == "COALMINE_REGISTRY_CA"


@pytest.mark.parametrize("absurd", ["9" * 5000, "\xb2", "-1", "1e9"])
def test_numbers_that_are_none_are_not_believed(
    bad: BadRegistry, remote: RemoteRepository, absurd: str
) -> None:
    def lie(exchange: Exchange) -> bool:
        if exchange.command != "POST":
            return exchange.command == "GET" and exchange.answer(
                204, Range=f"0-{absurd}", Location=exchange.path
            )
        bad.uploads["one"] = b""
        to = f"/v2/me/iris/blobs/uploads/one?{len(bad.seen)}"
        return exchange.answer(202, Location=to, OCI_Chunk_Min_Length=absurd)

    broken = _times(1, lambda exchange: exchange.drop(), "PUT")
    bad.misbehave = lambda exchange: broken(exchange) or lie(exchange)
    assert remote.push_blob(bytes_source(BLOB)).sent_bytes == len(BLOB)


@pytest.mark.parametrize("place", ["http://[bad", "\x01"])
def test_places_that_are_none_are_told(
    bad: BadRegistry, remote: RemoteRepository, place: str
) -> None:
    bad.misbehave = lambda e: e.command == "POST" and e.answer(202, Location=place)
    with pytest.raises(CoalmineError):
        remote.push_blob(bytes_source(b"x"))
    page = {"Link": f'<{place}>; rel="next"'}
    bad.misbehave = lambda exchange: exchange.answer(200, b'{"tags": []}', **page)
    with pytest.raises(CoalmineError):
        remote.list_all("tags/list", "tags")
    bad.misbehave = lambda e: e.answer(401, WWW_Authenticate=f'Bearer realm="{place}"')
    with pytest.raises(InputError, match="sends for tokens to"):
        remote.pull_manifest("v1")


def test_an_answer_of_absurd_depth_is_told(bad: BadRegistry, remote: RemoteRepository) -> None:
    deep = b"[" * 100_000
    bad.misbehave = lambda exchange: exchange.answer(200, deep)
    with pytest.raises(CoalmineError, match="list cannot be read"):
        remote.list_all("tags/list", "tags")
    bad.misbehave = lambda exchange: exchange.answer(404, deep)
    with pytest.raises(InputError, match="answered 404"):
        remote.push_manifest(Manifest(b"{}", "application/json"))
