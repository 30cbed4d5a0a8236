from __future__ import annotations

import io
import random
import subprocess
import sys
import tarfile
import tempfile
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.images.blobs import Blobs
from coalmine.images.compressed import CompressedLayers
from coalmine.images.compression import COMPRESSIONS, packer, shrinks, unpacked
from coalmine.images.layered import LayeredBuilder
from coalmine.images.plan import Entry, Layer
from coalmine.images.sampling import samples
from coalmine.images.tar import Sink
from coalmine.images.unpack import unpack

WEIGHTS = random.Random(3).randbytes(9_000_000)
TEXT = b"the same again and again, " * 400_000


def _packed(compression: str, pieces: list[bytes]) -> bytes:
    out = io.BytesIO()
    made = packer(compression, out, sum(map(len, pieces)))
    for piece in pieces:
        made.write(piece)
    made.finish()
    return out.getvalue()


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=5000), max_size=5), st.sampled_from([*COMPRESSIONS, "none"]))
def test_what_goes_in_comes_out(pieces: list[bytes], compression: str) -> None:
    packed = _packed(compression, pieces)
    read = unpacked(io.BytesIO(packed), compression)
    assert b"".join(iter(lambda: read.read(700), b"")) == b"".join(pieces)


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_the_number_of_cores_does_not_count(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _packed("zstd", [TEXT])
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert _packed("zstd", [TEXT]) == wanted


@pytest.mark.parametrize(
    ("content", "packed"),
    [
        (WEIGHTS, False),
        (TEXT, True),
        (b"", True),
        (b"{}" * 50_000, True),
        (WEIGHTS[:900_000], True),
    ],
)
def test_only_what_shrinks_is_packed(tmp_path: Path, content: bytes, *, packed: bool) -> None:
    half = len(content) // 2
    (tmp_path / "a").write_bytes(content[:half])
    (tmp_path / "b").write_bytes(content[half:])
    layer = Layer("code", (Entry("a"), Entry("b")))
    assert shrinks(samples(layer, tmp_path)) is packed


def test_weights_of_32_bits_are_not_packed_and_those_of_16_bits_are() -> None:
    chance = random.Random(4)
    weights = array("f", (chance.gauss(0, 0.02) for _ in range(16 << 10))).tobytes()
    halves = b"".join(weights[at + 2 : at + 4] for at in range(0, len(weights), 4))
    assert not shrinks([weights])
    assert shrinks([halves])


@settings(max_examples=15)
@given(st.lists(st.integers(0, 20 << 20), max_size=4))
def test_few_samples_are_read_however_large_a_layer_is(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for number, size in enumerate(sizes):
            with (Path(name) / str(number)).open("wb") as file:
                file.truncate(size)
        layer = Layer("x", tuple(Entry(str(number)) for number in range(len(sizes))))
        found = list(samples(layer, Path(name)))
    assert len(found) <= 33
    assert bool(found) is (sum(sizes) > 1 << 20)
    assert all(0 < len(one) <= 16 << 10 for one in found)


@pytest.fixture
def layers(tmp_path: Path) -> CompressedLayers:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "blobs").mkdir()
    return CompressedLayers(Blobs(tmp_path / "blobs", tmp_path / "tmp"), tmp_path / "notes")


@pytest.mark.parametrize(
    ("content", "compression", "suffix"),
    [(TEXT, "zstd", "zstd"), (TEXT, "gzip", "gzip"), (WEIGHTS, "none", "tar")],
)
def test_a_layer_is_stored_as_it_suits(
    layers: CompressedLayers, content: bytes, compression: str, suffix: str
) -> None:
    stored = layers.add(lambda out: _write_out(out, content), compression)
    assert stored.media_type.endswith(suffix)
    assert not stored.here
    assert (stored.blob.digest == stored.diff_id) is (suffix == "tar")
    assert layers.add(lambda out: _write_out(out, content), compression).here


def _write_out(out: Sink, content: bytes) -> None:
    out.write(content)


@pytest.mark.parametrize("harm", ["flip", "cut", "gone", "note"])
def test_a_cache_that_was_harmed_is_found_and_mended(
    layers: CompressedLayers, tmp_path: Path, harm: str
) -> None:
    first = layers.add(lambda out: _write_out(out, TEXT), "zstd")
    (blob,) = (tmp_path / "blobs").iterdir()
    sound = blob.read_bytes()
    if harm == "gone":
        blob.unlink()
    elif harm == "note":
        next((tmp_path / "notes").iterdir()).write_text('{"digest": 1}')
    else:
        blob.write_bytes(sound[:-1] + (b"" if harm == "cut" else bytes([sound[-1] ^ 1])))
    again = layers.add(lambda out: _write_out(out, TEXT), "zstd")
    assert not again.here
    assert again.blob == first.blob
    assert blob.read_bytes() == sound


def test_a_blob_that_was_only_touched_is_used_again(
    layers: CompressedLayers, tmp_path: Path
) -> None:
    layers.add(lambda out: _write_out(out, TEXT), "zstd")
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.touch()
    assert layers.add(lambda out: _write_out(out, TEXT), "zstd").here


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_is_unpacked_again(
    context: Path, tmp_path: Path, compression: str
) -> None:
    (context / "models/iris_model/v1/model.bin").write_bytes(WEIGHTS)
    (context / "src/large.txt").write_bytes(TEXT)
    built = LayeredBuilder(compression=compression).build(context, str(tmp_path / "images"))
    bento = unpack(built.reference, tmp_path / "out")
    assert (bento / "models/iris_model/v1/model.bin").read_bytes() == WEIGHTS
    assert (bento / "src/large.txt").read_bytes() == TEXT


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damaged_input_is_no_tar(compression: str) -> None:
    packed = _packed(compression, [TEXT])
    for damaged in (b"nothing of the kind", packed[: len(packed) // 2]):
        with (
            pytest.raises((EOFError, tarfile.TarError)),
            tarfile.open(fileobj=unpacked(io.BytesIO(damaged), compression), mode="r|") as archive,
        ):
            list(archive)


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(InputError, match="'lz4' is no compression"):
        unpacked(io.BytesIO(), "lz4")


_MEASURED = """
import sys
from pathlib import Path
from coalmine.images.layered import LayeredBuilder
from coalmine.images.plan import Entry, Layer
from coalmine.images.sampling import samples
from coalmine.images.unpack import unpack
built = LayeredBuilder().build(Path(sys.argv[1]), sys.argv[2])
unpack(built.reference, Path(sys.argv[3]))
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def test_memory_does_not_grow_with_the_model(context: Path, tmp_path: Path) -> None:
    used = []
    for number, size in enumerate((1, 40)):
        with (context / "models/iris_model/v1/model.bin").open("wb") as model:
            for block in range(size):
                model.write(WEIGHTS[block : block + 1_000_000])
        places = [str(context), str(tmp_path / f"images{number}"), str(tmp_path / f"out{number}")]
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *places], capture_output=True, text=True, check=True
        )
        used.append(int(done.stdout) / 1024)
    assert used[1] < 100
    assert used[1] - used[0] < 15
