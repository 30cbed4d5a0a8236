from __future__ import annotations

from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError
from coalmine.stack.layout import Layout


@pytest.mark.parametrize("kind", ["nothing", "folder", "below a file", "no JSON", "other JSON"])
def test_without_readable_endpoints_the_error_says_how_to_start(tmp_path: Path, kind: str) -> None:
    layout = Layout(tmp_path / "state")
    if kind == "below a file":
        layout.state.write_text("")
    elif kind == "folder":
        layout.endpoints_file.mkdir(parents=True)
    elif kind != "nothing":
        layout.state.mkdir()
        layout.endpoints_file.write_text("{" if kind == "no JSON" else "{}")
    with pytest.raises(CoalmineError, match="no stack is running with its state in") as raised:
        layout.read_endpoints()
    assert "coalmine up --state" in raised.value.fix
    assert ("cannot be read" in raised.value.message) is (kind != "nothing")
