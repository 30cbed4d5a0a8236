from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from base_images import push_base
from real_registry import RealRegistry, find_registry, running_registry

from coalmine.images.attest import bill_of_materials
from coalmine.images.bento import read_facts
from coalmine.images.config import Below
from coalmine.images.install import Package
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import Platform
from coalmine.registry.address import Repository
from coalmine.registry.client import RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.referrers import list_referrers


class _Out(bytearray):
    def write(self, content: bytes, /) -> int:
        self.extend(content)
        return len(content)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    if find_registry() is None:
        pytest.skip("docker-registry cannot be had here")
    with running_registry(tmp_path / "registry") as running:
        yield running


def _statement(remote: RemoteRepository, digest: str) -> Any:
    carrier = remote.pull_manifest(digest)
    assert carrier is not None
    out = _Out()
    remote.pull_blob(json.loads(carrier.content)["layers"][0]["digest"], out)
    return json.loads(out)


@pytest.mark.integration
@pytest.mark.parametrize("architectures", [("amd64",), ("amd64", "arm64")])
def test_contents_and_origin_stand_beside_the_image(
    context: Path, tmp_path: Path, registry: RealRegistry, architectures: tuple[str, ...]
) -> None:
    digest = push_base(registry.host)
    builder = LayeredBuilder(
        platforms=tuple(Platform(name) for name in architectures),
        cache=tmp_path / "cache",
        base=f"{registry.host}/base/python:slim",
    )
    built = builder.build(context, f"{registry.host}/me/iris")
    assert builder.build(context, f"{registry.host}/me/iris").digest == built.digest
    with open_repository(Repository(registry.host, "me/iris"), RegistryOptions()) as remote:
        found = {item["artifactType"]: item for item in list_referrers(remote, built.digest)}
        assert set(found) == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
        bill = _statement(remote, found["application/vnd.cyclonedx+json"]["digest"])
        origin = _statement(remote, found["application/vnd.in-toto+json"]["digest"])
    assert {(c["type"], c["name"], c["version"]) for c in bill["components"]} == {
        ("machine-learning-model", "iris_model", "v1"),
        ("container", builder.base, digest),
    }
    assert origin["subject"] == [
        {"name": f"{registry.host}/me/iris", "digest": {"sha256": built.digest[7:]}}
    ]
    made = origin["predicate"]["buildDefinition"]
    assert made["externalParameters"]["platforms"] == [f"linux/{name}" for name in architectures]
    assert made["resolvedDependencies"][0]["digest"] == {"sha256": digest[7:]}


def test_packages_are_named_as_scanners_look_for_them(context: Path) -> None:
    packages = [Package("Typing_Extensions", "4.1"), Package("a", "1"), Package("a", "1")]
    statement = bill_of_materials(read_facts(context), packages, [], Below())
    components = json.loads(statement.content)["components"]
    assert [c["purl"] for c in components] == ["pkg:pypi/typing-extensions@4.1", "pkg:pypi/a@1"]
