from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.stores.stream import measured, opened


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20), max_size=6), st.integers(0, 80), st.integers(1, 9))
def test_it_reads_like_a_file(chunks: list[bytes], begin: int, size: int) -> None:
    told: list[int] = []
    made, real = opened(lambda: iter(chunks), told.append), io.BytesIO(b"".join(chunks))
    made.seek(begin)
    real.seek(begin)
    rest = b""
    while piece := made.read(size):
        rest += piece
    assert rest == real.read()
    assert sum(told) == len(rest)


def test_it_cannot_go_back() -> None:
    made = opened(lambda: iter([b"abc"]), lambda _: None)
    made.read(2)
    with pytest.raises(io.UnsupportedOperation):
        made.seek(0)


def test_it_is_measured() -> None:
    def make() -> Iterator[bytes]:
        yield b"a"
        yield b"bc"

    name = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert measured(make()) == (name, 3)
