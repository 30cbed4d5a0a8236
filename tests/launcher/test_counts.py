"""What several processes count together: on disk before it is counted, and read by any of them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError
from coalmine.launcher.telemetry import RESERVED, RESERVED_BESIDE, Telemetry, counted_together


@pytest.mark.parametrize(("anew", "sizes"), [(True, RESERVED), (False, RESERVED_BESIDE)])
def test_a_disk_that_fills_up_kills_none_who_counts(
    tmp_path: Path, anew: bool, sizes: dict[str, int]
) -> None:
    """A file with holes would: to write into one then is the end of the process."""
    with counted_together(tmp_path / "counts", anew=anew):
        telemetry = Telemetry(dict, together=tmp_path / "counts")
        for status in range(200, 220):
            telemetry.answered(status)
        for number in range(200 if anew else 0):
            telemetry.step_ended(f"step-{number}", "succeeded", 1.0)
        text = telemetry.text().decode()
    assert 'coalmine_events_total{status="219"} 1.0' in text
    found = {one.name.partition("_")[0]: one.stat() for one in (tmp_path / "counts").iterdir()}
    assert {kind: one.st_size for kind, one in found.items()} == sizes
    assert all(one.st_blocks * 512 >= one.st_size for one in found.values())


def test_a_disk_that_is_full_is_told_of_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_together(tmp_path / "counts"):
        there = Telemetry(dict, together=tmp_path / "counts")
        there.answered(202)

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.getpid", lambda: 1)
        monkeypatch.setattr(Path, "write_bytes", full)
        with (
            pytest.raises(CoalmineError, match="No space left") as caught,
            counted_together(tmp_path / "counts"),
        ):
            pass
        assert caught.value.fix
        assert 'coalmine_events_total{status="202"} 1.0' in there.text().decode()
