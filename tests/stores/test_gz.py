"""Bytes in a gzip file, as they are."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from coalmine.stores.gz import wrapped_gz


@given(st.lists(st.integers(0, 200_000), max_size=4), st.binary(min_size=1, max_size=3))
def test_what_is_wrapped_comes_out_again(sizes: list[int], fill: bytes) -> None:
    chunks = [(fill * size)[:size] for size in sizes]
    packed = b"".join(wrapped_gz(chunks))
    assert gzip.decompress(packed) == b"".join(chunks)
    assert len(packed) <= sum(sizes) + 5 * (sum(sizes) // 0xFFFF + len(sizes)) + 23
