"""The images of the full builders: what the pipelines name is what the Containerfile makes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "builders"
KNOWN = {"ARG", "FROM", "RUN", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}


def _instructions() -> list[tuple[str, str]]:
    text = "\n".join(
        line for line in (FOLDER / "Containerfile").read_text().splitlines() if line[:1] != "#"
    )
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def _stages() -> dict[str, list[tuple[str, str]]]:
    stages: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for word, rest in _instructions():
        if word == "FROM":
            name = rest.rpartition(" AS ")[2]
        stages.setdefault(name, []).append((word, rest))
    return stages


def _steps(content: object) -> Iterator[dict[str, Any]]:
    """Give everything in a manifest that runs in an image."""
    if isinstance(content, dict):
        if "image" in content:
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _steps(item)


def test_every_line_is_one_that_builders_know() -> None:
    assert {word for word, _ in _instructions()} <= KNOWN
    names = re.findall(
        r"\$\{(\w+)\}", " ".join(rest for word, rest in _instructions() if word == "FROM")
    )
    given = [rest.partition("=")[0] for word, rest in _instructions() if word == "ARG"]
    assert set(names) == set(given)


def test_what_is_copied_is_there() -> None:
    stages = _stages()
    for word, rest in _instructions():
        source = re.match(r"--from=(\S+)", rest)
        if word == "COPY" and source:
            assert source.group(1) in stages
        elif word == "COPY":
            assert (FOLDER / rest.split()[0]).is_file()


@pytest.mark.parametrize("builder", ["buildah", "buildkit", "kaniko"])
def test_each_image_that_a_pipeline_names_is_built_with_its_user(builder: str) -> None:
    manifest = ROOT / "compiled" / "tekton" / f"release-{builder}.yaml"
    found = [
        step
        for document in yaml.safe_load_all(manifest.read_text())
        for step in _steps(document)
        if f"coalmine-{builder}:" in step["image"]
    ]
    (image,) = {step["image"] for step in found}
    (user,) = {step["securityContext"]["runAsUser"] for step in found}
    stage = _stages()[builder]
    users = [rest for word, rest in stage if word == "USER"]
    assert users[-1].partition(":")[0] == str(user)
    assert "coalmine-$builder:" in (FOLDER / "Containerfile").read_text()
    version = image.rpartition(":")[2]
    assert f":{version}" in (FOLDER / "Containerfile").read_text()


def test_kaniko_finds_all_that_it_needs_below_its_own_folder() -> None:
    stage = _stages()["kaniko"]
    values = dict(
        pair.split("=", 1) for word, rest in stage if word == "ENV" for pair in rest.split()
    )
    assert all(part.startswith("/kaniko") for part in values["PATH"].split(":"))
    assert [rest for word, rest in stage if word == "ENTRYPOINT"] == ['["/kaniko/bin/coalmine"]']


def test_the_script_that_moves_python_is_a_script() -> None:
    done = subprocess.run(["sh", "-n", str(FOLDER / "relocate.sh")], check=False)
    assert done.returncode == 0
    assert f"python{sys.version_info.major}." in (FOLDER / "relocate.sh").read_text()
