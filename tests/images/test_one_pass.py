from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from bad_registry import bad_registry
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError
from coalmine.images.compressed import hashed
from coalmine.images.layout import OciLayout
from coalmine.images.one_pass import OnePass, Passed
from coalmine.images.tar import Sink
from coalmine.images.trail import Trail
from coalmine.registry.address import Repository
from coalmine.registry.client import RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions

SMALL, LARGE = 300_000, 9_000_000  # a large layer is packed by several threads


def _content(size: int) -> bytes:
    return random.Random(size).randbytes(size // 4).hex()[:size].encode().ljust(size, b"x")


def _pieces(content: bytes) -> Iterator[bytes]:
    for begin in range(0, len(content), 1 << 20):
        yield content[begin : begin + (1 << 20)]


@pytest.fixture
def remote() -> Iterator[RemoteRepository]:
    with (
        bad_registry() as registry,
        open_repository(Repository(registry.host, "me/iris"), RegistryOptions()) as opened,
    ):
        yield opened


@pytest.fixture
def begin(
    remote: RemoteRepository, tmp_path: Path
) -> Iterator[Callable[[Callable[[], Iterator[bytes]], int, str], OnePass]]:
    begun: list[OnePass] = []
    with ThreadPoolExecutor(1) as worker:

        def start(pieces: Callable[[], Iterator[bytes]], size: int, kind: str) -> OnePass:
            send = partial(remote.begin_blob, None)
            begun.append(
                OnePass(pieces, size, kind, folder=tmp_path / "disk", begin=send, worker=worker)
            )
            return begun[-1]

        yield start
        for one in begun:
            one.close()
    assert not list((tmp_path / "disk").iterdir())


@settings(max_examples=20, deadline=None)
@given(parts=st.lists(st.binary(max_size=200_000)), whole=st.booleans())
def test_who_reads_along_reads_what_is_written(parts: list[bytes], *, whole: bool) -> None:
    trail = Trail(Path(tempfile.gettempdir()))
    read: list[bytes] = []
    failed = threading.Event()

    def follow() -> None:
        try:
            read.extend(trail.pieces())
        except CoalmineError:
            failed.set()

    reader = threading.Thread(target=follow)
    reader.start()
    for part in parts:
        trail.write(part)
    trail.end(whole=whole)
    reader.join()
    trail.close()
    assert failed.is_set() is not whole
    assert b"".join(parts).startswith(b"".join(read))
    assert not whole or b"".join(read) == b"".join(parts)


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_one_pass_makes_what_two_make(
    begin: Callable[..., OnePass], remote: RemoteRepository, tmp_path: Path, size: int, kind: str
) -> None:
    content = _content(size)
    done = begin(lambda: _pieces(content), size, kind).result()

    def write(out: Sink) -> None:
        for piece in _pieces(content):
            out.write(piece)

    layout = OciLayout(tmp_path / "layout")
    with layout.writing():
        stored = layout.layers.add(write, kind)
        assert (done.packed, done.plain) == (stored.blob, hashed(write))
        assert done.packed.size < size
        assert done.begun.finish(done.packed.digest)
        assert remote.has_blob(done.packed.digest)
        _adopts_into_an_empty_one(tmp_path / "empty", kind, done)


def _adopts_into_an_empty_one(folder: Path, kind: str, done: Passed) -> None:
    layout = OciLayout(folder)
    with layout.writing():
        assert not layout.layers.adopt(kind, done.plain, done.packed, done.file).here
        layout.blobs.path(done.packed.digest).write_bytes(bytes(done.packed.size))
        assert not layout.layers.adopt(kind, done.plain, done.packed, done.file).here
        assert layout.blobs.is_sound(done.packed)
        assert layout.layers.adopt(kind, done.plain, done.packed, done.file).here


def test_files_that_change_their_size_meanwhile_are_an_error(begin: Callable[..., OnePass]) -> None:
    one = begin(lambda: _pieces(_content(SMALL)), SMALL + 1, "zstd")
    with pytest.raises(CoalmineError, match="changed while it was read"):
        one.result()


def test_a_file_that_cannot_be_read_is_an_error(begin: Callable[..., OnePass]) -> None:
    def unreadable() -> Iterator[bytes]:
        yield b"x"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        begin(unreadable, SMALL, "zstd").result()


def test_what_is_not_wanted_any_more_is_packed_no_further(begin: Callable[..., OnePass]) -> None:
    running = threading.Event()

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1000)
            running.set()

    one, waiting = begin(endless, SMALL, "zstd"), begin(endless, SMALL, "zstd")
    assert running.wait(30)
    waiting.close()
    one.close()
