"""Blobs that are sent before their digest is known."""

from __future__ import annotations

import hashlib
import io
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_registry import BadRegistry, Exchange, bad_registry
from real_registry import find_registry, running_registry

from coalmine._base.errors import CoalmineError
from coalmine.registry.address import Repository
from coalmine.registry.client import RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.source import BlobSource, stream_source

CONTENT = random.Random(9).randbytes(3_000_000)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def _pieces() -> Iterator[bytes]:
    for begin in range(0, len(CONTENT), 1 << 20):
        yield CONTENT[begin : begin + (1 << 20)]


def _early(remote: RemoteRepository, size: int | None = len(CONTENT)) -> BlobSource:
    return stream_source(DIGEST, len(CONTENT), _pieces, remote.begin_blob(size, _pieces))


@pytest.fixture
def registry() -> Iterator[BadRegistry]:
    with bad_registry() as running:
        yield running


@pytest.fixture
def remote(registry: BadRegistry) -> Iterator[RemoteRepository]:
    with open_repository(
        Repository(registry.host, "me/iris"), RegistryOptions(), sleep=lambda _: None
    ) as opened:
        yield opened


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_blob_is_sent_once_and_named_at_its_end(
    registry: BadRegistry, remote: RemoteRepository, size: int | None
) -> None:
    assert remote.push_blob(_early(remote, size)).sent_bytes == len(CONTENT)
    assert registry.blobs[DIGEST] == CONTENT
    assert [method for method, _, _ in registry.seen if method != "HEAD"] == [
        "POST",
        "PATCH",
        "PUT",
    ]


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
@pytest.mark.parametrize(
    ("fault", "size"),
    [*((fault, len(CONTENT)) for fault in ("drop", 400, 404, 500, 413)), ("drop", None)],
)
def test_whatever_fails_the_blob_is_sent_in_the_usual_way(
    registry: BadRegistry, remote: RemoteRepository, method: str, fault: str | int, size: int | None
) -> None:
    failed = threading.Event()

    def misbehave(exchange: Exchange) -> bool:
        if exchange.command != method or failed.is_set():
            return False
        failed.set()
        exchange.body()
        return exchange.drop() if isinstance(fault, str) else exchange.answer(fault)

    registry.misbehave = misbehave
    assert remote.push_blob(_early(remote, size)).sent_bytes == len(CONTENT)
    assert failed.is_set()
    assert registry.blobs == {DIGEST: CONTENT}


def test_what_changed_while_it_was_sent_is_sent_anew(
    registry: BadRegistry, remote: RemoteRepository
) -> None:
    begun = remote.begin_blob(len(CONTENT), lambda: iter((bytes(len(CONTENT)),)))
    source = stream_source(DIGEST, len(CONTENT), _pieces, begun)
    remote.push_blob(source)
    assert registry.blobs[DIGEST] == CONTENT


def test_a_file_that_cannot_be_read_is_told_by_the_usual_way(
    registry: BadRegistry, remote: RemoteRepository
) -> None:
    def unreadable() -> Iterator[bytes]:
        yield CONTENT[:1000]
        raise OSError(5, "Input/output error")

    begun = remote.begin_blob(len(CONTENT), unreadable)
    source = stream_source(DIGEST, len(CONTENT), unreadable, begun)
    with pytest.raises(OSError, match="Input/output error"):
        remote.push_blob(source)
    assert DIGEST not in registry.blobs


def test_another_content_than_was_sent_is_an_error(
    registry: BadRegistry, remote: RemoteRepository
) -> None:
    def misbehave(exchange: Exchange) -> bool:
        if exchange.command != "PUT":
            return False
        return exchange.answer(201, Docker_Content_Digest="sha256:" + "0" * 64)

    registry.misbehave = misbehave
    with pytest.raises(CoalmineError, match="stored sha256:000"):
        remote.push_blob(_early(remote))


def test_a_registry_that_wants_parts_of_a_size_gets_them(
    registry: BadRegistry, remote: RemoteRepository
) -> None:
    def misbehave(exchange: Exchange) -> bool:
        if exchange.command != "POST":
            return False
        registry.uploads["0"] = b""
        place = exchange.path.partition("?")[0] + "0?state=x"
        return exchange.answer(202, Location=place, OCI_Chunk_Min_Length="1000")

    registry.misbehave = misbehave
    remote.push_blob(_early(remote))
    assert registry.blobs == {DIGEST: CONTENT}


@pytest.mark.integration
def test_what_the_registry_has_is_not_sent_to_its_end(tmp_path: Path) -> None:
    if find_registry() is None:
        pytest.skip("docker-registry cannot be had here")

    def endless() -> Iterator[bytes]:
        while True:
            yield CONTENT[:10_000]

    with running_registry(tmp_path) as real:
        place = Repository(real.host, "me/iris")
        with open_repository(place, RegistryOptions()) as remote:
            remote.push_blob(BlobSource(DIGEST, len(CONTENT), lambda: io.BytesIO(CONTENT)))
            begun = remote.begin_blob(1 << 50, endless)
            pushed = remote.push_blob(stream_source(DIGEST, len(CONTENT), _pieces, begun))
        assert pushed.reused_bytes == len(CONTENT)
        assert pushed.sent_bytes < 1 << 30


def test_what_arrived_in_vain_is_forgotten(registry: BadRegistry, remote: RemoteRepository) -> None:
    arrived = threading.Event()

    def misbehave(exchange: Exchange) -> bool:
        if exchange.command == "PATCH":
            registry.add(CONTENT)
            arrived.set()
        return False

    registry.misbehave = misbehave
    source = _early(remote)
    assert arrived.wait(30)
    assert remote.push_blob(source).reused_bytes == len(CONTENT)
    assert registry.uploads == {}
