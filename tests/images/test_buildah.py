from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_registry import RealRegistry, find_registry, running_registry

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.buildah import BuildahBuilder
from coalmine.images.protocol import BuiltImage
from coalmine.registry.address import Repository
from coalmine.registry.client import open_repository
from coalmine.registry.options import RegistryOptions

can_run = pytest.mark.skipif(
    shutil.which("buildah") is None or os.getuid() != 0 or find_registry() is None,
    reason="needs buildah, root and docker-registry",
)


@pytest.fixture
def context(context: Path) -> Path:
    (context / "env/docker/Dockerfile").write_text("FROM scratch\nCOPY . /home/bentoml/bento/\n")
    return context


@pytest.fixture
def builder(tmp_path: Path) -> BuildahBuilder:
    return BuildahBuilder(storage=tmp_path / "storage", epoch=0)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    with running_registry(tmp_path / "registry") as running:
        yield running


@can_run
@pytest.mark.integration
def test_the_dockerfile_is_built_and_pushed(
    builder: BuildahBuilder, context: Path, registry: RealRegistry
) -> None:
    built = builder.build(context, f"{registry.host}/me/iris")
    with open_repository(Repository(registry.host, "me/iris"), RegistryOptions()) as remote:
        manifest = remote.pull_manifest("v1")
    assert manifest is not None
    assert built.reference == f"{registry.host}/me/iris@{manifest.digest}"


@can_run
@pytest.mark.integration
def test_an_image_goes_to_a_folder_too(
    builder: BuildahBuilder, context: Path, tmp_path: Path
) -> None:
    built = builder.build(context, str(tmp_path / "images"))
    index = json.loads((tmp_path / "images" / "index.json").read_text())
    assert [image["digest"] for image in index["manifests"]] == [built.digest]
    assert built.url == f"oci-layout://{tmp_path}/images"


@can_run
@pytest.mark.integration
def test_another_build_of_that_name_does_not_change_what_is_pushed(
    builder: BuildahBuilder, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stores may hold different bentos of one name and version."""
    alone = builder.build(context, str(tmp_path / "alone"))
    other = shutil.copytree(context, tmp_path / "other", symlinks=True)
    (other / "src" / "service.py").write_text("answer = 43\n")
    push = BuildahBuilder._push

    def late(self: BuildahBuilder, *built: Any) -> BuiltImage:
        monkeypatch.setattr(BuildahBuilder, "_push", push)
        builder.build(other, str(tmp_path / "others"))
        return push(self, *built)

    monkeypatch.setattr(BuildahBuilder, "_push", late)
    assert builder.build(context, str(tmp_path / "images")).digest == alone.digest


@can_run
@pytest.mark.integration
def test_buildahs_last_words_are_told(
    builder: BuildahBuilder, context: Path, tmp_path: Path
) -> None:
    (context / "env/docker/Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    with pytest.raises(CoalmineError, match=r"buildah bud failed: .*nothing") as caught:
        builder.build(context, str(tmp_path / "images"))
    assert caught.value.exit_code == 1


def test_without_a_dockerfile_it_is_wrong_input(
    builder: BuildahBuilder, context: Path, tmp_path: Path
) -> None:
    (context / "env/docker/Dockerfile").unlink()
    with pytest.raises(InputError, match="has no env/docker/Dockerfile"):
        builder.build(context, str(tmp_path / "images"))


def test_without_buildah_it_is_said_how_to_get_it(
    builder: BuildahBuilder, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CoalmineError, match="buildah is not here") as caught:
        builder.build(context, str(tmp_path / "images"))
    assert "apt install buildah" in caught.value.fix


def test_secrets_are_refused_here_too(
    builder: BuildahBuilder, context: Path, tmp_path: Path
) -> None:
    (context / ".env").write_text("TOKEN=x")
    with pytest.raises(InputError, match=r"secrets: \.env"):
        builder.build(context, str(tmp_path / "images"))
