from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.stack.stack import Stack


@pytest.fixture(scope="session")
def prometheus_bin() -> Path:
    found = os.environ.get("COALMINE_PROMETHEUS_BIN") or shutil.which("prometheus")
    if not found:
        pytest.skip("no Prometheus on PATH and COALMINE_PROMETHEUS_BIN is not set")
    return Path(found)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "state")
    try:
        yield stack
    finally:
        stack.stop()
