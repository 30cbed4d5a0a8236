from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.stores.archive import extract
from coalmine.stores.context import digest_of_folder
from coalmine.stores.limits import Limits
from coalmine.stores.pack import tar_of
from coalmine.stores.xz import wrapped


@settings(max_examples=40)
@given(st.lists(st.integers(0, 200_000), max_size=4), st.binary(min_size=1, max_size=9))
def test_what_is_wrapped_comes_out_again(sizes: list[int], fill: bytes) -> None:
    chunks = [(fill * size)[:size] for size in sizes]
    assert lzma.decompress(b"".join(wrapped(chunks))) == b"".join(chunks)


def test_the_chunks_do_not_count_only_the_bytes() -> None:
    content = bytes(range(256)) * 1000
    whole = b"".join(wrapped([content]))
    assert whole == b"".join(wrapped(content[at : at + 777] for at in range(0, len(content), 777)))
    assert len(whole) < len(content) * 1.001


@pytest.mark.skipif(not shutil.which("xz"), reason="the program xz is not here")
def test_the_program_xz_takes_it() -> None:
    packed = b"".join(wrapped([b"x" * 100_000, b"y"]))
    subprocess.run(["xz", "--test"], input=packed, check=True)


def _folder(at: Path) -> Path:
    (at / "src" / "deep").mkdir(parents=True)
    (at / "src" / "deep" / "data").write_bytes(b"x" * 3_000_000)
    (at / "src" / "run.sh").write_text("#!/bin/sh\n")
    (at / "src" / "run.sh").chmod(0o700)
    (at / "src" / "link").symlink_to("deep/data")
    (at / "src.txt").write_text("")
    (at / ("n" * 200 + "é")).write_text("long")
    return at


def test_a_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "folder")
    (tmp_path / "x.bento").write_bytes(b"".join(wrapped(tar_of(folder))))
    extract(tmp_path / "x.bento", tmp_path / "out", Limits())
    assert digest_of_folder(tmp_path / "out") == digest_of_folder(folder)


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = _folder(tmp_path / "one"), _folder(tmp_path / "two")
    (two / "src" / "run.sh").chmod(0o755)
    assert b"".join(tar_of(one)) == b"".join(tar_of(two))


def test_only_what_is_wanted_is_packed(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "folder")
    packed = b"".join(tar_of(folder, lambda path: not path.startswith("src/")))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["n" * 200 + "é", "src", "src.txt"]
