"""The demo clears nothing that is not its own."""

from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.demo.story import _claimed, _clear


def test_a_folder_with_something_else_is_refused_and_untouched(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    with pytest.raises(InputError, match="holds something else"), _claimed(tmp_path):
        pytest.fail("the folder was claimed")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_earlier_demo_is_cleared_but_for_its_bentos(tmp_path: Path) -> None:
    state = tmp_path / "new"
    with _claimed(state):
        (state / "bentoml").mkdir()
        (state / "ledger.db").touch()
        (state / "runs" / "r1").mkdir(parents=True)
    with _claimed(state):
        _clear(state)
        left = {path.name for path in state.iterdir() if not path.name.startswith(".")}
    assert left == {"bentoml"}


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        _claimed(tmp_path),
        pytest.raises(CoalmineError, match="a demo is running"),
        _claimed(tmp_path),
    ):
        pytest.fail("two demos have one folder")
