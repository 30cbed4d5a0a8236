from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError
from coalmine.stores.context import digest_of_folder, keep_context

names = st.text("abcXYZ.-_ é", min_size=1, max_size=6).filter(lambda name: name not in {".", ".."})
trees = st.dictionaries(
    st.tuples(names, names), st.tuples(st.binary(max_size=9), st.booleans()), max_size=6
)
Tree = dict[tuple[str, str], tuple[bytes, bool]]


def _write(root: Path, tree: Tree, *, order: int, umask: int, mtime: int) -> None:
    items = list(tree.items())
    random.Random(order).shuffle(items)
    before = os.umask(umask)
    try:
        for (folder, name), (content, program) in items:
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod((0o777 if program else 0o666) & ~umask)
            os.utime(path, (mtime, mtime))
    finally:
        os.umask(before)


@given(trees)
def test_digest_does_not_depend_on_place_order_umask_or_time(tree: Tree) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        _write(Path(one), tree, order=1, umask=0o022, mtime=1)
        _write(Path(two), tree, order=2, umask=0o077, mtime=2)
        assert digest_of_folder(Path(one)) == digest_of_folder(Path(two))


@given(trees.filter(bool), st.data())
def test_digest_depends_on_every_file(tree: Tree, data: st.DataObject) -> None:
    changed = dict(tree)
    key = data.draw(st.sampled_from(sorted(tree)))
    content, program = changed.pop(key)
    changed[key] = (content + b"!", program)
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        _write(Path(one), tree, order=1, umask=0o022, mtime=1)
        _write(Path(two), changed, order=1, umask=0o022, mtime=1)
        assert digest_of_folder(Path(one)) != digest_of_folder(Path(two))


def _write_program(folder: Path) -> None:
    (folder / "a").write_text("b")
    (folder / "a").chmod(0o755)


def test_digest_tells_names_contents_and_kinds_apart(tmp_path: Path) -> None:
    makers: list[Callable[[Path], object]] = [
        lambda p: (p / "a").write_text("b"),
        lambda p: (p / "ab").write_text(""),
        lambda p: (p / "a").mkdir(),
        lambda p: (p / "a").symlink_to("b"),
        _write_program,
        lambda p: None,
    ]
    digests = set()
    for number, make in enumerate(makers):
        (tmp_path / str(number)).mkdir()
        make(tmp_path / str(number))
        digests.add(digest_of_folder(tmp_path / str(number)))
    assert len(digests) == len(makers)


def _fetch(content: str) -> Callable[[Path], None]:
    def fetch(into: Path) -> None:
        into.mkdir()
        (into / "file").write_text(content)

    return fetch


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    first, here_first = keep_context(tmp_path / "c", _fetch("x"))
    second, here_second = keep_context(tmp_path / "c", _fetch("x"))
    other, _ = keep_context(tmp_path / "c", _fetch("y"))
    assert (first, here_first, here_second) == (second, False, True)
    assert other != first
    assert first.name == digest_of_folder(first)


def test_a_failed_fetch_leaves_nothing(tmp_path: Path) -> None:
    def fail(into: Path) -> None:
        _fetch("x")(into)
        raise OSError(28, "No space left on device")

    with pytest.raises(CoalmineError, match="No space left on device"):
        keep_context(tmp_path / "c", fail)
    assert [item.name for item in (tmp_path / "c").iterdir()] == [".lock"]


def test_what_a_killed_one_left_is_swept_away(tmp_path: Path) -> None:
    left = tmp_path / "c" / ".new-killed"
    left.mkdir(parents=True)
    keep_context(tmp_path / "c", _fetch("x"))
    assert not left.exists()


def test_many_at_once_end_with_one_context(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: keep_context(tmp_path / "c", _fetch("x")), range(8)))
    assert len({place for place, _ in kept}) == 1
    assert sorted(here for _, here in kept) == [False] + [True] * 7
