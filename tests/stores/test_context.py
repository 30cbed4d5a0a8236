from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
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


@settings(max_examples=25)
@given(trees)
def test_digest_does_not_depend_on_place_order_umask_or_time(tree: Tree) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        _write(Path(one), tree, order=1, umask=0o022, mtime=1)
        _write(Path(two), tree, order=2, umask=0o077, mtime=2)
        assert digest_of_folder(Path(one)) == digest_of_folder(Path(two))


@settings(max_examples=30)
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


def _left(contexts: Path) -> list[str]:
    """What is there beside locks: contexts, halves of some, notes."""
    return sorted(
        str(item.relative_to(contexts))
        for item in contexts.rglob("*")
        if item.is_file() and "locks" not in item.parts
    )


def test_a_failed_fetch_leaves_nothing(tmp_path: Path) -> None:
    def fail(into: Path) -> None:
        _fetch("x")(into)
        raise OSError(28, "No space left on device")

    with pytest.raises(CoalmineError, match="No space left on device"):
        keep_context(tmp_path / "c", fail, source="s")
    assert _left(tmp_path / "c") == []


def test_many_at_once_end_with_one_context(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: keep_context(tmp_path / "c", _fetch("x")), range(8)))
    assert len({place for place, _ in kept}) == 1
    assert sorted(here for _, here in kept) == [False] + [True] * 7


def test_one_source_is_fetched_once_however_many_ask(tmp_path: Path) -> None:
    fetched = []

    def fetch(into: Path) -> None:
        fetched.append(into)
        _fetch("x")(into)

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(keep_context, tmp_path / "c", fetch, source="s") for _ in range(8)]
    assert len({job.result()[0] for job in jobs}) == 1
    assert len(fetched) == 1


def test_a_source_whose_context_is_gone_is_fetched_again(tmp_path: Path) -> None:
    place, _ = keep_context(tmp_path / "c", _fetch("x"), source="s")
    place.rename(tmp_path / "gone")
    assert keep_context(tmp_path / "c", _fetch("x"), source="s") == (place, False)


def test_many_sources_of_the_same_content_end_with_one_context(tmp_path: Path) -> None:
    def keep(number: int) -> Path:
        return keep_context(tmp_path / "c", _fetch("x"), source=f"s{number}")[0]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(keep, range(16)))) == 1


_KILLED = """
import sys, time
from pathlib import Path
from coalmine.stores.context import keep_context
def fetch(into):
    into.mkdir()
    (into / "half").write_text("x")
    print("half", flush=True)
    time.sleep(60)
keep_context(Path(sys.argv[1]), fetch, source="s")
"""


def test_one_that_was_killed_leaves_no_context_and_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "half\n"
        process.kill()
    place, here = keep_context(tmp_path / "c", _fetch("x"), source="s")
    assert not here
    assert [path for path in _left(tmp_path / "c") if "half" in path] == []
    assert (place / "file").read_text() == "x"


def _use_more_than_there_is(contexts: Path) -> str:
    def fetch(into: Path) -> None:
        into.mkdir()
        (into / "large").write_bytes(b"x" * 2_000_000)

    try:
        keep_context(contexts, fetch, source="s")
    except CoalmineError as error:
        return error.message
    return "kept"


def test_a_full_disk_is_named_and_leaves_nothing(small_disk: Path) -> None:
    assert "No space left on device" in _use_more_than_there_is(small_disk / "c")
    assert _left(small_disk / "c") == []
    assert keep_context(small_disk / "c", _fetch("x"), source="s")[1] is False
