from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def write_context(
    root: Path, *, version: str = "v1", weights: bytes = b"weights", code: str = "answer = 42\n"
) -> Path:
    """Write a build context as the retrieve step leaves it."""
    model = root / "models" / "iris_model" / version
    model.mkdir(parents=True)
    (model / "model.bin").write_bytes(weights)
    (model.parent / "latest").write_text(version)
    (root / "src" / "empty").mkdir(parents=True)
    (root / "src" / "service.py").write_text(code)
    (root / "src" / "again.py").symlink_to("service.py")
    (root / "env" / "docker").mkdir(parents=True)
    (root / "env" / "docker" / "entrypoint.sh").write_text("#!/bin/bash\n")
    (root / "bento.yaml").write_text(
        f"name: iris\nversion: {version}\ncreation_time: '2026-01-02T03:04:05+00:00'\n"
        "envs:\n- name: GREETING\n  value: hello\n"
    )
    return root


@pytest.fixture
def context_writer() -> Callable[..., Path]:
    return write_context


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write_context(tmp_path / "context")
