"""The lines of a log that is read in parts, whatever a part ends in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.launcher.stream import LONGEST, whole_lines


def _read(log: bytes, most: int, *, ended: bool) -> tuple[list[bytes], int]:
    """Read as a stream does, until nothing comes."""
    lines: list[bytes] = []
    at = 0
    while found := list(whole_lines(log[at : at + most], ended=ended)):
        lines += [line for line, _ in found]
        at += found[-1][1]
    return lines, at


@settings(max_examples=50)
@given(st.lists(st.text("aé☂", max_size=3), max_size=12), st.integers(10, 40))
def test_no_part_ends_a_line_before_its_end(texts: list[str], most: int) -> None:
    lines = [text.encode() for text in [*texts, "end"]]
    log = b"\n".join(lines)
    assert _read(log, most, ended=True) == (lines, len(log))
    kept, at = _read(log, most, ended=False)
    assert (kept, log[at:]) == (lines[:-1], b"end")


def test_a_line_that_is_too_long_to_wait_for_comes_in_whole_characters() -> None:
    log = "☂".encode() * LONGEST
    lines, at = _read(log, LONGEST, ended=False)
    assert b"".join(lines) == log[:at]
    assert len(log) - at < LONGEST
    assert all(set(line.decode()) == {"☂"} for line in lines)
    assert list(whole_lines(b"y" * (LONGEST - 1), ended=False)) == []
    assert _read(b"a\xe2", 9, ended=True) == ([b"a", b"\xe2"], 2)
