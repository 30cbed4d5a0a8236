from __future__ import annotations

import os
from pathlib import Path

import pytest

from coalmine.images.compressed import hashed
from coalmine.images.config import Blob
from coalmine.images.plan import Entry, Layer
from coalmine.images.seen import Seen
from coalmine.images.tar import tar_pieces, tar_size, write_tar

LATER = 4_000_000_000.0


def _layer(version: str) -> Layer:
    return Layer(f"model iris:{version}", (Entry("model.bin"), Entry("names", executable=True)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "names").write_text("setosa")
    return tmp_path


def _read(layer: Layer, folder: Path) -> Blob:
    return hashed(lambda out: write_tar(layer, folder, out))


def test_what_was_not_touched_is_not_read_again(folder: Path) -> None:
    seen, layer = Seen(folder / "seen", lambda: LATER), _layer("v1")
    assert seen.find(layer, folder, 0) is None
    blob = seen.keep(layer, folder, 0, lambda: _read(layer, folder))
    assert seen.find(layer, folder, 0) == blob == _read(layer, folder)
    assert seen.find(layer, folder, 1) is None


@pytest.mark.parametrize("touch", ["content", "same size and time", "mode", "another file"])
def test_whatever_is_touched_is_read_again(folder: Path, touch: str) -> None:
    seen, layer, model = Seen(folder / "seen", lambda: LATER), _layer("v1"), folder / "model.bin"
    seen.keep(layer, folder, 0, lambda: _read(layer, folder))
    before = model.stat()
    if touch == "content":
        model.write_bytes(b"other weights")
    elif touch == "same size and time":
        model.write_bytes(b"WEIGHTS")
        os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif touch == "mode":
        model.chmod(0o600)
    else:
        model.rename(folder / "gone")
        model.write_bytes(b"weights")
    assert seen.find(layer, folder, 0) is None


def test_what_was_touched_a_moment_ago_is_not_believed(folder: Path) -> None:
    layer = _layer("v1")
    seen = Seen(folder / "seen", lambda: (folder / "names").stat().st_ctime + 1)
    seen.keep(layer, folder, 0, lambda: _read(layer, folder))
    assert seen.find(layer, folder, 0) is None


def test_what_changes_while_it_is_read_is_not_believed(folder: Path) -> None:
    seen, layer = Seen(folder / "seen", lambda: LATER), _layer("v1")

    def read() -> Blob:
        blob = _read(layer, folder)
        (folder / "model.bin").write_bytes(b"changed in the meantime")
        return blob

    seen.keep(layer, folder, 0, read)
    assert seen.find(layer, folder, 0) is None


def test_a_note_that_is_damaged_is_not_believed(folder: Path) -> None:
    seen, layer = Seen(folder / "seen", lambda: LATER), _layer("v1")
    seen.keep(layer, folder, 0, lambda: _read(layer, folder))
    (note,) = (folder / "seen").glob("*/*")
    note.write_text("{")
    assert seen.find(layer, folder, 0) is None


def test_a_new_version_of_a_known_model_is_news(folder: Path) -> None:
    seen = Seen(folder / "seen", lambda: LATER)
    assert not seen.is_news(_layer("v1")), "an empty cache knows nothing of what others have"
    seen.keep(_layer("v1"), folder, 0, lambda: _read(_layer("v1"), folder))
    assert not seen.is_news(_layer("v1"))
    assert seen.is_news(_layer("v2"))
    assert not seen.is_news(Layer("code", ()))


@pytest.mark.parametrize("name", ["model.bin", "n" * 300, "ö" * 120])
def test_the_size_is_known_before_a_byte_is_read(folder: Path, name: str) -> None:
    short = folder / name[:200]
    short.write_bytes(b"x" * 70_000)
    entries = (Entry("folder/" + "d" * 150), Entry(short.name))
    (folder / "folder").mkdir()
    (folder / entries[0].path).write_bytes(b"")
    layer = Layer("model iris:v1", entries)
    assert tar_size(layer, folder) == len(b"".join(tar_pieces(layer, folder)))
    assert tar_size(layer, folder) == _read(layer, folder).size
