"""Images upon a base image, with packages; the packages are wheels made here."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bad_registry import BadRegistry, bad_registry
from base_images import push_base
from package_index import package_index, write_wheel

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.base import find_python
from coalmine.images.bases import full_name
from coalmine.images.compression import unpacked
from coalmine.images.config import LAYER_TYPES
from coalmine.images.install import explain
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import Platform, parse_platforms
from coalmine.images.unpack import unpack
from coalmine.images.venv import with_interpreter, without_places

AMD64, ARM64 = Platform("amd64"), Platform("arm64")


@pytest.fixture
def hub() -> Iterator[BadRegistry]:
    """The registry of the base image."""
    with bad_registry() as registry:
        push_base(registry.host)
        yield registry


@pytest.fixture
def registry() -> Iterator[BadRegistry]:
    with bad_registry() as registry:
        yield registry


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """Serves the wheels that a test writes; the network is not asked."""
    (tmp_path / "wheels").mkdir(exist_ok=True)
    with package_index(tmp_path / "wheels") as url:
        yield url


@pytest.fixture
def builder(
    tmp_path: Path, hub: BadRegistry, index: str, monkeypatch: pytest.MonkeyPatch
) -> LayeredBuilder:
    monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return LayeredBuilder(
        platforms=(AMD64,), cache=tmp_path / "cache", base=f"{hub.host}/base/python:slim"
    )


def _require(context: Path, *lines: str) -> None:
    (context / "env" / "python").mkdir(exist_ok=True)
    (context / "env" / "python" / "requirements.txt").write_text("\n".join(lines))


def _json(blobs: dict[str, bytes], digest: str) -> Any:
    return json.loads(blobs[digest])


def _pushed(registry: BadRegistry, name: str = "v1") -> Any:
    return json.loads(registry.manifests[name][0])


def _members(registry: BadRegistry, layer: dict[str, Any]) -> dict[str, tarfile.TarInfo]:
    kinds = {media: kind for kind, media in LAYER_TYPES.items()}
    file = io.BytesIO(registry.blobs[layer["digest"]])
    with tarfile.open(fileobj=unpacked(file, kinds[layer["mediaType"]]), mode="r|") as archive:
        return {member.name: member for member in archive}


def test_an_image_has_all_that_it_needs_to_run(
    builder: LayeredBuilder, context: Path, tmp_path: Path, registry: BadRegistry
) -> None:
    write_wheel(tmp_path / "wheels", "tool")
    _require(context, "tool==1.0")
    built = builder.build(context, f"{registry.host}/me/iris")
    manifest = _pushed(registry)
    titles = [
        layer.get("annotations", {}).get("dev.coalmine.layer") for layer in manifest["layers"]
    ]
    assert titles == [None, "packages", "code", "model iris_model:v1", "bento"]
    config = _json(registry.blobs, manifest["config"]["digest"])
    assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 5
    env = dict(item.split("=", 1) for item in config["config"]["Env"])
    assert env["PATH"] == "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin"
    assert (env["PYTHON_VERSION"], env["HOME"]) == ("3.11.9", "/home/bentoml")
    venv = _members(registry, manifest["layers"][1])
    packages = "app/.venv/lib/python3.11/site-packages"
    assert venv["app/.venv/bin/python"].linkname == "/usr/local/bin/python3.11"
    assert f"{packages}/tool/__init__.py" in venv
    assert venv["app/.venv/bin/tool"].mode == 0o755
    assert {"app/.venv/bin/activate", "app/.venv/pyvenv.cfg"} <= set(venv)
    annotated = manifest["annotations"]
    assert annotated["org.opencontainers.image.base.name"] == builder.base
    assert annotated["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert built.sent_bytes > 0


def test_packages_have_the_same_digest_from_two_machines(
    builder: LayeredBuilder, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path / "wheels", "tool")
    _require(context, "tool==1.0")
    found = set()
    for name in ("one", "two"):
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / name / "uv"))
        with bad_registry() as registry:
            elsewhere = replace(builder, cache=tmp_path / name / "a longer way" / "cache")
            found.add(elsewhere.build(context, f"{registry.host}/me/iris").digest)
    assert len(found) == 1


def test_packages_are_installed_once(
    builder: LayeredBuilder,
    context: Path,
    tmp_path: Path,
    registry: BadRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_wheel(tmp_path / "wheels", "tool")
    _require(context, "tool==1.0")
    first = builder.build(context, f"{registry.host}/me/iris")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    again = builder.build(context, f"{registry.host}/me/iris")
    assert (again.digest, again.sent_bytes, again.written_bytes) == (first.digest, 0, 0)


def test_the_bases_layers_are_mounted_in_its_own_registry(
    builder: LayeredBuilder, context: Path, hub: BadRegistry
) -> None:
    before = len(hub.seen)
    builder.build(context, f"{hub.host}/me/iris")
    seen = hub.seen[before:]
    layer = _pushed(hub, "v1")["layers"][0]["digest"]
    assert not [path for method, path, _ in seen if method == "GET" and layer in path]
    assert not (builder.cache / "blobs" / "sha256" / layer.removeprefix("sha256:")).exists()


def test_the_bases_layers_are_copied_to_another_registry_once(
    builder: LayeredBuilder, context: Path, hub: BadRegistry, registry: BadRegistry
) -> None:
    builder.build(context, f"{registry.host}/me/iris")
    layer = _pushed(registry)["layers"][0]["digest"]
    assert registry.blobs[layer] == hub.blobs[layer]
    before = len(hub.seen)
    (context / "src" / "service.py").write_text("answer = 43\n")
    builder.build(context, f"{registry.host}/me/iris")
    assert not [path for _, path, _ in hub.seen[before:] if layer in path]


def test_a_base_by_digest_is_not_asked_for_again(
    builder: LayeredBuilder, context: Path, hub: BadRegistry, registry: BadRegistry
) -> None:
    digest = push_base(hub.host)
    hub.manifests[digest] = hub.manifests["slim"]
    pinned = replace(builder, base=f"{hub.host}/base/python@{digest}")
    first = pinned.build(context, f"{registry.host}/me/iris")
    before = len(hub.seen)
    assert pinned.build(context, f"{registry.host}/me/iris").digest == first.digest
    assert len(hub.seen) == before


def test_several_platforms_make_an_index(
    builder: LayeredBuilder, context: Path, tmp_path: Path, registry: BadRegistry
) -> None:
    for tag in ("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_aarch64"):
        write_wheel(tmp_path / "wheels", "native", tag=tag)
    _require(context, "native")
    both = replace(builder, platforms=(AMD64, ARM64))
    built = both.build(context, f"{registry.host}/me/iris")
    index = _pushed(registry)
    assert registry.manifests["v1"][1] == "application/vnd.oci.image.index.v1+json"
    assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]
    layers = [
        [layer["digest"] for layer in _pushed(registry, item["digest"])["layers"]]
        for item in index["manifests"]
    ]
    assert layers[0][0] != layers[1][0]
    assert layers[0][2:] == layers[1][2:]
    again = both.build(context, f"{registry.host}/me/iris")
    assert (again.digest, again.sent_bytes) == (built.digest, 0)


def test_an_image_in_a_folder_may_have_a_base_too(
    builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    both = replace(builder, platforms=(AMD64, ARM64))
    built = both.build(context, str(tmp_path / "images"))
    blobs = tmp_path / "images" / "blobs" / "sha256"
    index = json.loads((blobs / built.digest.removeprefix("sha256:")).read_text())
    for item in index["manifests"]:
        manifest = json.loads((blobs / item["digest"].removeprefix("sha256:")).read_text())
        for layer in manifest["layers"]:
            assert (blobs / layer["digest"].removeprefix("sha256:")).is_file()
    bento = unpack(built.reference, tmp_path / "out")
    assert (bento / "src/service.py").is_file()
    assert not (tmp_path / "out" / "etc").exists()


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (
            {"architectures": ("amd64",), "tag": "amd"},
            "is not for linux/arm64, only for linux/amd64",
        ),
        ({"env": ("PATH=/bin",), "tag": "bare"}, "nothing in .* says that it has Python"),
        ({"env": ("PYTHON_VERSION=3.9.1",), "tag": "old"}, "has Python 3.9, .* wants 3.11"),
    ],
)
def test_a_base_that_does_not_fit_is_refused(  # noqa: PLR0917 - fixtures
    builder: LayeredBuilder,
    context: Path,
    hub: BadRegistry,
    registry: BadRegistry,
    base: dict[str, Any],
    said: str,
) -> None:
    with (context / "bento.yaml").open("a") as bento:
        bento.write("image:\n  python_version: '3.11'\n")
    push_base(hub.host, **base)
    wrong = replace(builder, base=f"{hub.host}/base/python:{base['tag']}", platforms=(AMD64, ARM64))
    with pytest.raises(InputError, match=said) as caught:
        wrong.build(context, f"{registry.host}/me/iris")
    assert caught.value.field == "base_image"
    assert registry.manifests == {}


def test_a_base_that_is_not_there_is_named(
    builder: LayeredBuilder, context: Path, hub: BadRegistry, registry: BadRegistry
) -> None:
    with pytest.raises(InputError, match=r"there is no image .*:gone"):
        replace(builder, base=f"{hub.host}/base/python:gone").build(
            context, f"{registry.host}/me/iris"
        )


def test_the_path_of_a_bases_python_can_be_given(
    builder: LayeredBuilder, hub: BadRegistry, context: Path, registry: BadRegistry
) -> None:
    push_base(hub.host, env=(), tag="debian")
    debian = replace(
        builder, base=f"{hub.host}/base/python:debian", base_python="/usr/bin/python3.11"
    )
    assert debian.build(context, f"{registry.host}/me/iris").digest
    with pytest.raises(InputError, match="COALMINE_BASE_PYTHON"):
        find_python(None, "python3")  # type: ignore[arg-type]


def test_a_package_without_a_wheel_is_named_with_the_builder_to_use(
    builder: LayeredBuilder, context: Path, tmp_path: Path, registry: BadRegistry
) -> None:
    (tmp_path / "wheels" / "onlysource-1.0.tar.gz").write_bytes(b"")
    _require(context, "onlysource==1.0")
    with pytest.raises(
        InputError, match="onlysource cannot be installed for linux/amd64"
    ) as caught:
        builder.build(context, f"{registry.host}/me/iris")
    assert "--builder buildah" in caught.value.fix


def test_uvs_words_are_understood() -> None:
    assert explain("error: Failed to fetch https://x", "linux/amd64").exit_code == 1
    assert explain("No solution found when resolving: a<1 and a>1", "x").exit_code == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("image:\n  commands: ['apt-get install -y ffmpeg']\n", "system packages: apt-get install"),
        ("image:\n  commands: ['echo hi']\n", "setup command: echo hi"),
        ("image:\n  post_commands: ['echo hi']\n", "setup command after the packages"),
        ("image:\n  commands: ['./env/docker/script__0a']\n", "setup script: ./env/docker/script"),
        ("docker:\n  system_packages: [git]\n", "system packages"),
        ("docker:\n  dockerfile_template: x.j2\n", "Dockerfile template: x.j2"),
        ("docker:\n  setup_script: s.sh\n", "setup script: s.sh"),
        ("conda:\n  dependencies: [x]\n", "conda packages"),
    ],
)
def test_what_needs_more_than_layers_is_named(
    builder: LayeredBuilder, context: Path, registry: BadRegistry, more: str, said: str
) -> None:
    with (context / "bento.yaml").open("a") as bento:
        bento.write(more)
    with pytest.raises(InputError, match=said) as caught:
        builder.build(context, f"{registry.host}/me/iris")
    assert "--builder buildah" in caught.value.fix


def test_bentomls_own_commands_need_nothing_more(
    builder: LayeredBuilder, context: Path, registry: BadRegistry
) -> None:
    with (context / "bento.yaml").open("a") as bento:
        bento.write(
            "image:\n  commands:\n  - apt-get update && apt-get install -q -y "
            "--no-install-recommends --allow-remove-essential\n    ca-certificates gnupg2 bash "
            "build-essential git\n"
        )
    assert builder.build(context, f"{registry.host}/me/iris").digest


def test_without_a_base_anywhere_one_is_asked_for(context: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no base image"):
        LayeredBuilder(cache=tmp_path / "cache").build(context, "localhost:1/me/iris")


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("me/python:3", "docker.io/me/python:3"),
        ("ghcr.io/me/python:3", "ghcr.io/me/python:3"),
        ("localhost:5000/python", "localhost:5000/python"),
    ],
)
def test_dockers_short_names_are_written_out(short: str, full: str) -> None:
    assert full_name(short) == full


@pytest.mark.parametrize("text", ["windows/amd64", "linux/amd64,linux/amd64", "linux/amd64,"])
def test_unknown_platforms_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^platforms: "):
        parse_platforms(text)
    assert parse_platforms("linux/amd64, linux/arm64") == (AMD64, ARM64)


def test_scripts_start_with_the_images_own_interpreter() -> None:
    long = b"#!/bin/sh\n'''exec' '/a long/way/bin/python3' \"$0\" \"$@\"\n' '''\nimport x\n"
    for script in (b"#!/home/me/.venv/bin/python\nimport x\n", long):
        assert with_interpreter(script) == b"#!/app/.venv/bin/python\nimport x\n"
    assert with_interpreter(b"#!/bin/sh\necho\n") == b"#!/bin/sh\necho\n"


def test_a_record_says_nothing_of_the_machine() -> None:
    record = b"x/y.py,sha256=a,1\nx/bin/z,sha256=b,2\n../../bin/tool,sha256=c,3\nbin/t,,\n"
    assert without_places(record) == b"x/bin/z,sha256=b,2\nx/y.py,sha256=a,1\n"


def test_an_index_that_cannot_be_reached_may_pass(
    builder: LayeredBuilder,
    context: Path,
    registry: BadRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    _require(context, "tool==1.0")
    with pytest.raises(CoalmineError, match="uv could not install") as caught:
        builder.build(context, f"{registry.host}/me/iris")
    assert caught.value.exit_code == 1
