from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.stores.known import check_known


def test_the_first_content_is_noted_and_another_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state" / "known.json"
    check_known(file, "s3://b/iris:v1", "aaa", now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    check_known(file, "s3://b/iris:v1", "aaa")
    check_known(file, "s3://b/iris:v2", "bbb")
    with pytest.raises(InputError, match=r"2026-01-02.*digest aaa, now it has bbb") as caught:
        check_known(file, "s3://b/iris:v1", "bbb")
    assert str(file) in caught.value.fix


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: check_known(file, f"bento:{n}", "aaa"), range(16)))
    for number in range(16):
        with pytest.raises(InputError):
            check_known(file, f"bento:{number}", "bbb")


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"content": "x"}}', "\x00"])
def test_a_file_that_is_another_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "known.json").write_text(text)
    with pytest.raises(InputError, match=r"known\.json cannot be read"):
        check_known(tmp_path / "known.json", "bento:v1", "aaa")
    assert (tmp_path / "known.json").read_text() == text
