from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPILED = Path(__file__).parent.parent.parent / "compiled"
BUILDERS = ("buildah", "buildkit", "kaniko")
FILES = [COMPILED / target / f"release-{name}.yaml" for target in ("tekton", "argo")
         for name in BUILDERS]  # fmt: skip


def _containers(content: Any) -> Iterator[dict[str, Any]]:
    """Find whatever has an image."""
    if isinstance(content, dict):
        if "image" in content:
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _containers(item)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_only_the_build_task_runs_in_the_builders_image_and_as_its_user(file: Path) -> None:
    name = file.stem.removeprefix("release-")
    user = 1000 if name == "buildkit" else 0
    found = list(_containers(list(yaml.load_all(file.read_text(), yaml.CSafeLoader))))
    builders = [item for item in found if item["image"].endswith(f"/coalmine-{name}:0.1.0")]
    assert len(builders) == 1
    assert builders[0]["securityContext"] == {
        "runAsUser": user,
        "runAsGroup": user,
        "runAsNonRoot": user != 0,
    }
    others = [item for item in found if item not in builders]
    assert others
    assert all("securityContext" not in item for item in others)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_manifests_hold_against_the_schemas(
    check_manifest: Callable[[str], int], file: Path
) -> None:
    check_manifest(file.read_text())


@pytest.mark.parametrize("name", BUILDERS)
def test_the_pipeline_differs_from_release_in_its_build_task_alone(name: str) -> None:
    plain, other = (
        next(yaml.load_all((COMPILED / "kfp" / f"{file}.yaml").read_text(), yaml.CSafeLoader))
        for file in ("release", f"release-{name}")
    )
    assert other["pipelineInfo"]["name"] == f"release-{name}"
    executors = plain["deploymentSpec"]["executors"], other["deploymentSpec"]["executors"]
    assert {key for key in executors[0] if executors[0][key] != executors[1][key]} == {"exec-build"}
    assert plain["root"] == other["root"]
