"""Archives are read strictly by any Python, whichever way its `tarfile` asks for a header."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from coalmine._base.headers import HeaderError, strict_header

BLOCK = 512


def mended(patch: pytest.MonkeyPatch) -> None:
    """Have `tarfile` ask as it does since CVE-2025-13462 was mended (Debian's 3.11.2-6+deb12u8)."""
    if hasattr(tarfile.TarInfo, "_frombuf"):
        return
    before = tarfile.TarInfo.__dict__["frombuf"].__func__

    def _frombuf(cls: Any, buf: bytes, encoding: str, errors: str, *, dircheck: bool = True) -> Any:
        del dircheck
        return before(cls, buf, encoding, errors)

    def frombuf(cls: Any, buf: bytes, encoding: str, errors: str) -> Any:
        return cls._frombuf(buf, encoding, errors)

    def fromtarfile(cls: Any, tar: Any) -> Any:
        made = cls._frombuf(tar.fileobj.read(BLOCK), tar.encoding, tar.errors)
        made.offset = tar.fileobj.tell() - BLOCK
        return made._proc_member(tar)

    patch.setattr(tarfile.TarInfo, "_frombuf", classmethod(_frombuf), raising=False)
    patch.setattr(tarfile.TarInfo, "frombuf", classmethod(frombuf))
    patch.setattr(tarfile.TarInfo, "fromtarfile", classmethod(fromtarfile))


@pytest.fixture(params=["as this Python asks", "as a mended one asks"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "as a mended one asks":
        mended(monkeypatch)


def archive(names: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = BLOCK
            tar.addfile(info, io.BytesIO(bytes([7]) * BLOCK))
    return out.getvalue()


def read(content: bytes) -> tuple[list[str], bool]:
    """The names in it, and whether it was seen to end."""
    header = strict_header()
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|", tarinfo=header) as tar:
        names = [member.name for member in tar]
    return names, header.ended


@pytest.mark.usefixtures("asked")
def test_a_whole_one_ends() -> None:
    names = ["a", "b" * 150]
    assert read(archive(names)) == (names, True)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("blocks", [2, 4, 5, 6])
def test_one_that_is_cut_off_does_not(blocks: int) -> None:
    try:
        _, ended = read(archive(["a", "b" * 150])[: blocks * BLOCK])
    except (HeaderError, tarfile.TarError):
        return
    assert not ended


@pytest.mark.usefixtures("asked")
def test_a_damaged_header_is_no_end() -> None:
    content = bytearray(archive(["a", "b"]))
    content[2 * BLOCK + 3] ^= 1
    with pytest.raises(HeaderError, match="damaged"):
        read(bytes(content))


@pytest.mark.usefixtures("asked")
def test_a_name_is_not_read_into_memory_at_any_length() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2 << 20
    with pytest.raises(HeaderError, match="absurd"):
        read(info.tobuf(tarfile.GNU_FORMAT) + bytes(4 * BLOCK))
