from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.stack.layout import Layout
from coalmine.steps.contract import Surroundings


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    """A state folder whose store has one bento, iris:v1, with one model."""
    home = Layout(tmp_path / "state").bento_home
    bento, model = home / "bentos/iris/v1", home / "models/iris_model/v1"
    (bento / "src").mkdir(parents=True)
    model.mkdir(parents=True)
    (bento / "src" / "service.py").write_text("answer = 42\n")
    (model / "model.yaml").write_text("name: iris_model\n")
    (bento / "bento.yaml").write_text(
        "name: iris\nversion: v1\ncreation_time: '2026-01-02T03:04:05+00:00'\n"
        "models:\n- tag: iris_model:v1\n"
    )
    return Surroundings(tmp_path / "state")
