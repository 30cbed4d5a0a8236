from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml


def write_bento(
    home: Path,
    name: str = "iris",
    version: str = "v1",
    *,
    created: str = "2026-01-01T00:00:00+00:00",
    models: tuple[str, ...] = ("iris_model:v1",),
    weights: bytes = b"weights",
) -> Path:
    """Write a bento and its models as BentoML stores them."""
    bento = home / "bentos" / name / version
    (bento / "src").mkdir(parents=True)
    (bento / "src" / "service.py").write_text("answer = 42\n")
    (bento / "env" / "docker").mkdir(parents=True)
    (bento / "env" / "docker" / "entrypoint.sh").write_text("#!/bin/bash\n")
    services = [{"name": name, "models": [{"tag": tag} for tag in models]}]
    facts = {"name": name, "version": version, "creation_time": created, "services": services}
    (bento / "bento.yaml").write_text(yaml.safe_dump(facts))
    for tag in models:
        folder = home / "models" / Path(*tag.split(":"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.yaml").write_text(yaml.safe_dump({"creation_time": created}))
        (folder / "model.bin").write_bytes(weights)
    return bento


@pytest.fixture
def bento_writer() -> Callable[..., Path]:
    return write_bento


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store with two versions of one bento, the older one the later by name."""
    made = tmp_path / "home"
    write_bento(made, version="v2", created="2026-01-01T00:00:00+00:00")
    write_bento(made, version="v10", created="2026-02-01T00:00:00+00:00", models=("iris_model:v2",))
    return made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
