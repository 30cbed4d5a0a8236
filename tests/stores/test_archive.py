from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.stores.archive import extract
from coalmine.stores.limits import Limits, read_limits

SMALL = Limits(size=3_000_000, entries=50, ratio=100, free=100_000, memory=20 << 20)


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def tar_of(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in members:
            if isinstance(item, tuple):
                archive.addfile(member(item[0], size=len(item[1])), io.BytesIO(item[1]))
            else:
                archive.addfile(item)
    return out.getvalue()


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def zipped(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., Path]:
    def call(packed: bytes, limits: Limits = SMALL) -> Path:
        archive = tmp_path / "x.bento"
        archive.write_bytes(packed)
        into = tmp_path / "deep" / "into"
        into.parent.mkdir(exist_ok=True)
        extract(archive, into, limits)
        return into

    return call


Unpack = Callable[..., Path]
PLAIN = tar_of(
    member(".", tarfile.DIRTYPE),
    ("./bento.yaml", b"name: iris\n"),
    ("./src/service.py", b"answer = 42\n"),
    member("./src/again.py", tarfile.SYMTYPE, "service.py"),
    member("./src/copy.py", tarfile.LNKTYPE, "./src/service.py"),
    member("./empty", tarfile.DIRTYPE),
)


ZIPPED = zip_of(("ä", b"x" * 50), (zipped("link", stat.S_IFLNK | 0o777), "ä".encode()))


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        lzma.compress,
        gzip.compress,
        lambda tar: lzma.compress(tar[:700]) + b"\0" * 8 + lzma.compress(tar[700:]),
        lambda tar: gzip.compress(tar[:700]) + gzip.compress(tar[700:]),
    ],
    ids=["plain", "xz", "gzip", "two xz streams", "two gzip members"],
)
def test_files_folders_and_links_are_unpacked(
    unpack: Unpack, pack: Callable[[bytes], bytes]
) -> None:
    into = unpack(pack(PLAIN))
    found = {str(path.relative_to(into)) for path in into.rglob("*")}
    assert found == {"bento.yaml", "src", "src/service.py", "src/again.py", "src/copy.py", "empty"}
    assert (into / "src" / "again.py").readlink() == Path("service.py")
    assert (into / "src" / "copy.py").read_text() == "answer = 42\n"
    assert (into / "src" / "copy.py").stat().st_nlink == 1


def test_a_zip_is_unpacked(unpack: Unpack) -> None:
    into = unpack(
        zip_of(
            ("src/", b""),
            (zipped("src/run.sh", stat.S_IFREG | 0o4755), b"#!/bin/sh\n"),
            (zipped("src/link", stat.S_IFLNK | 0o777), b"run.sh"),
            ("bento.yaml", b"name: iris\n"),
        )
    )
    assert (into / "src" / "link").readlink() == Path("run.sh")
    assert stat.S_IMODE((into / "src" / "run.sh").stat().st_mode) == 0o755


def test_modes_are_only_who_may_run_it(unpack: Unpack) -> None:
    program, plain = member("run"), member("data")
    program.mode, plain.mode = 0o6711, 0o2666
    program.uid = plain.uid = 12345
    into = unpack(tar_of(program, plain))
    assert stat.S_IMODE((into / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((into / "data").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (tar_of(("/etc/passwd", b"x")), "would leave"),
        (tar_of(("../x", b"x")), "would leave"),
        (tar_of(("src/../../x", b"x")), "would leave"),
        (tar_of(member("a", tarfile.SYMTYPE, "/etc")), "leads out"),
        (tar_of(member("a", tarfile.SYMTYPE, "..")), "leads out"),
        (tar_of(member("a/b", tarfile.SYMTYPE, "../../x")), "leads out"),
        (tar_of(member("a/b", tarfile.SYMTYPE, "c/../../..")), "leads out"),
        (tar_of(member("a", tarfile.SYMTYPE, "")), "leads out"),
        (tar_of(member("a", tarfile.SYMTYPE, "b"), ("a/x", b"x")), "no folder"),
        (tar_of(("a", b""), ("a/x", b"x")), "no folder"),
        (tar_of(("a/x", b"x"), member("a", tarfile.SYMTYPE, "b")), "twice"),
        (tar_of(("a", b"x"), ("./a", b"y")), "twice"),
        (tar_of(member("a", tarfile.SYMTYPE, "b"), ("a", b"y")), "twice"),
        (tar_of(("a/x", b"x"), ("a", b"y")), "twice"),
        (tar_of(member("a", tarfile.LNKTYPE, "/etc/passwd")), "would leave"),
        (tar_of(member("a", tarfile.LNKTYPE, "b"), ("b", b"x")), "no file before it"),
        (tar_of(member("b", tarfile.SYMTYPE, "x"), member("a", tarfile.LNKTYPE, "b")), "no file"),
        (tar_of(member("a", tarfile.CHRTYPE)), "neither file"),
        (tar_of(member("a", tarfile.BLKTYPE)), "neither file"),
        (tar_of(member("a", tarfile.FIFOTYPE)), "neither file"),
        (tar_of((f"{'n' * 256}", b"x")), "too long"),
        (tar_of(("/".join("abc" * 700), b"x")), "too long"),
        (zip_of(("../x", b"x")), "would leave"),
        (zip_of(("/x", b"x")), "would leave"),
        (zip_of((zipped("a", stat.S_IFLNK | 0o777), b"/etc")), "leads out"),
        (zip_of((zipped("a", stat.S_IFLNK | 0o777), b"\xff")), "no text"),
        (zip_of((zipped("a", stat.S_IFCHR | 0o666), b"")), "neither file"),
        (zip_of((zipped("a", stat.S_IFLNK | 0o777), b"b"), ("a/x", b"x")), "no folder"),
        (b"", "damaged"),
        (b"no archive at all", "damaged"),
        (b"PK no zip", "damaged"),
        (PLAIN[: 512 * 3 + 100], "damaged"),
        (PLAIN[: 512 * 3], "cut off"),
        (PLAIN[: 512 * 3] + b"\1" * 512 + PLAIN[512 * 4 :], "damaged"),
        (lzma.compress(PLAIN)[:-40], "damaged"),
        (gzip.compress(PLAIN)[:-6], "damaged"),
        (lzma.compress(PLAIN)[:60] + b"????" + lzma.compress(PLAIN)[64:], "damaged"),
        (gzip.compress(PLAIN)[:-8] + b"????" + gzip.compress(PLAIN)[-4:], "damaged"),
    ],
)
def test_what_is_not_taken(unpack: Unpack, tmp_path: Path, packed: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        unpack(packed)
    assert {path.name for path in tmp_path.iterdir()} == {"x.bento", "deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} <= {"into"}


ZEROS = bytes(30_000_000)


@pytest.mark.parametrize(
    "bomb",
    [
        lzma.compress(tar_of(("a", ZEROS)), preset=0),
        gzip.compress(tar_of(("a", ZEROS)), 9),
        zip_of(("a", ZEROS)),
        lzma.compress(ZEROS, preset=0),
        gzip.compress(ZEROS, 9),
    ],
    ids=["xz", "gzip", "zip", "xz of zeros", "gzip of zeros"],
)
def test_what_swells_is_refused_before_it_has(unpack: Unpack, tmp_path: Path, bomb: bytes) -> None:
    with pytest.raises(InputError, match=r"swells|cut off|damaged"):
        unpack(bomb, Limits(ratio=100, free=1_000_000))
    unpacked = sum(path.stat().st_size for path in (tmp_path / "deep").rglob("*") if path.is_file())
    # The limit, and the pieces of 1 MiB that were read by then: how many depends on the Python.
    assert unpacked <= 4 << 20


def test_more_bytes_than_are_allowed_are_refused(unpack: Unpack) -> None:
    with pytest.raises(InputError, match="more than 3000000 bytes"):
        unpack(tar_of(("a", ZEROS[:2_000_000]), ("b", ZEROS[:2_000_000])))


def test_copies_by_hard_links_count_too(unpack: Unpack) -> None:
    links = [member(f"l{number}", tarfile.LNKTYPE, "a") for number in range(9)]
    with pytest.raises(InputError, match="more than 3000000 bytes"):
        unpack(tar_of(("a", ZEROS[:1_000_000]), *links))


def test_more_entries_than_are_allowed_are_refused(unpack: Unpack) -> None:
    with pytest.raises(InputError, match="more than 50 files"):
        unpack(tar_of(*(member(f"d{number}", tarfile.DIRTYPE) for number in range(51))))


def test_a_sparse_file_is_refused(unpack: Unpack) -> None:
    sparse = member("a")
    sparse.pax_headers = {"GNU.sparse.size": "1000000000000", "GNU.sparse.map": "0,1"}
    with pytest.raises(InputError, match="neither file"):
        unpack(tar_of(sparse))


def test_a_name_of_absurd_length_is_not_taken_into_memory(unpack: Unpack) -> None:
    header = member("x", tarfile.GNUTYPE_LONGNAME, size=20_000_000)
    packed = lzma.compress(header.tobuf(tarfile.GNU_FORMAT) + ZEROS[:20_000_000], preset=0)
    tracemalloc.start()
    with pytest.raises(InputError, match="absurd length"):
        unpack(packed, Limits(ratio=100_000))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_xz_that_wants_too_much_memory_is_refused(unpack: Unpack) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 26}]
    with pytest.raises(InputError, match="emory"):
        unpack(lzma.compress(PLAIN, filters=filters))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (46, b"\xff", "damaged"),  # a name that is no text
        (42, b"\xff\xff\xff\xff", "damaged"),  # an offset beyond the end
        (10, bytes([zipfile.ZIP_BZIP2]), "method"),
        (10, bytes([zipfile.ZIP_LZMA]), "method"),
    ],
)
def test_a_zip_with_a_damaged_table_is_refused(
    unpack: Unpack, place: int, value: bytes, said: str
) -> None:
    archive = bytearray(ZIPPED)
    place += archive.index(b"PK\x01\x02")
    archive[place : place + len(value)] = value
    with pytest.raises(InputError, match=said):
        unpack(bytes(archive))


def test_a_zip_with_a_table_of_absurd_length_is_not_taken_into_memory(unpack: Unpack) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, *(0,) * 8, 1, *(0,) * 6) + b"x"
    table = entry * 100_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(table), 4, 0)
    tracemalloc.start()
    with pytest.raises(InputError, match="more than 50 files"):
        unpack(b"PK\3\4" + table + end)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@settings(max_examples=80)
@given(
    st.sampled_from([PLAIN, lzma.compress(PLAIN, preset=0), gzip.compress(PLAIN, 1), ZIPPED]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 255)), min_size=1, max_size=4),
    st.integers(0, 3000),
)
def test_damage_is_refused_or_does_no_harm(
    packed: bytes, flips: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(packed)
    for place, by in flips:
        damaged[place % len(damaged)] ^= by
    with TemporaryDirectory() as folder:
        archive, into = Path(folder) / "x", Path(folder) / "in" / "to"
        into.parent.mkdir()
        archive.write_bytes(damaged[: len(damaged) - cut % len(damaged) // 2])
        with contextlib.suppress(InputError):
            extract(archive, into, SMALL)
        assert {path.name for path in Path(folder).iterdir()} == {"x", "in"}
        assert {path.name for path in into.parent.iterdir()} <= {"to"}
        for path in into.rglob("*"):
            assert path.resolve().is_relative_to(into.resolve())


def test_the_size_can_be_set() -> None:
    assert read_limits({"COALMINE_MAX_BENTO_BYTES": "7"}).size == 7
    assert read_limits({}) == Limits()


@pytest.mark.parametrize("text", ["0", "-1", "5 GB", "1e9", "²", "9" * 5000])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="COALMINE_MAX_BENTO_BYTES"):
        read_limits({"COALMINE_MAX_BENTO_BYTES": text})
