from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from bad_registry import Exchange, bad_registry
from base_images import push_base
from real_registry import RealRegistry, find_registry, running_registry

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import Platform
from coalmine.images.unpack import unpack
from coalmine.registry.address import Repository
from coalmine.registry.client import open_repository
from coalmine.registry.options import RegistryOptions

WEIGHTS = random.Random(1).randbytes(2_000_000)
SHRINKING = random.Random(3).randbytes(3_000_000).hex().encode()
real = pytest.mark.skipif(find_registry() is None, reason="docker-registry cannot be had here")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def builder(tmp_path: Path) -> LayeredBuilder:
    return LayeredBuilder(platforms=(Platform("amd64"),), cache=tmp_path / "cache", base="none")


def _tagged(host: str, path: str, tag: str) -> str | None:
    with open_repository(Repository(host, path), RegistryOptions()) as remote:
        manifest = remote.pull_manifest(tag)
    return None if manifest is None else manifest.digest


@real
@pytest.mark.integration
def test_the_digest_pushed_is_the_digest_built(
    registry: RealRegistry, builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    local = builder.build(context, str(tmp_path / "images"))
    pushed = builder.build(context, f"oci://{registry.host}/one/iris")
    assert pushed.reference == f"{registry.host}/one/iris@{local.digest}"
    assert pushed.sent_bytes > 0
    assert _tagged(registry.host, "one/iris", "v1") == local.digest


@real
@pytest.mark.integration
def test_nothing_is_sent_again(
    registry: RealRegistry,
    builder: LayeredBuilder,
    tmp_path: Path,
    context_writer: Callable[..., Path],
) -> None:
    one = context_writer(tmp_path / "one", weights=WEIGHTS)
    two = context_writer(tmp_path / "two", weights=WEIGHTS, code="answer = 43\n")
    first = builder.build(one, f"{registry.host}/two/iris")
    assert builder.build(one, f"{registry.host}/two/iris").sent_bytes == 0
    assert first.sent_bytes > len(WEIGHTS)
    assert builder.build(two, f"{registry.host}/two/iris:mine").sent_bytes < 10_000
    assert _tagged(registry.host, "two/iris", "mine") not in {None, first.digest}
    assert _tagged(registry.host, "two/iris", "v1") == first.digest


@real
@pytest.mark.integration
def test_a_fresh_cache_sends_nothing_that_the_registry_has(
    registry: RealRegistry, context: Path, tmp_path: Path
) -> None:
    sent = [
        LayeredBuilder(cache=tmp_path / name, base="none").build(
            context, f"{registry.host}/three/iris"
        )
        for name in ("cache1", "cache2")
    ]
    assert sent[1].sent_bytes == 0
    assert sent[1].written_bytes > 0


@real
@pytest.mark.integration
def test_many_at_once_share_a_cache(
    registry: RealRegistry,
    builder: LayeredBuilder,
    tmp_path: Path,
    context_writer: Callable[..., Path],
) -> None:
    versions = [f"v{number}" for number in range(5)]
    contexts = [context_writer(tmp_path / v, version=v, weights=WEIGHTS) for v in versions]
    with ThreadPoolExecutor(5) as pool:
        built = list(pool.map(lambda c: builder.build(c, f"{registry.host}/four/iris"), contexts))
    assert [_tagged(registry.host, "four/iris", v) for v in versions] == [b.digest for b in built]


@pytest.mark.parametrize("architectures", [("amd64",), ("amd64", "arm64")])
def test_a_bento_is_unpacked_from_a_registry_without_its_base(
    context: Path, tmp_path: Path, architectures: tuple[str, ...]
) -> None:
    if find_registry() is None:
        pytest.skip("docker-registry cannot be had here")
    with running_registry(tmp_path / "registry") as registry:
        push_base(registry.host)
        base = LayeredBuilder(
            platforms=tuple(Platform(name) for name in architectures),
            cache=tmp_path / "cache",
            base=f"{registry.host}/base/python:slim",
        )
        built = base.build(context, f"{registry.host}/me/iris")
        bento = unpack(built.reference, tmp_path / "revisions" / "one")
        assert (bento / "models/iris_model/v1/model.bin").read_bytes() == b"weights"
        assert not (tmp_path / "revisions/one/etc/base").exists()
        assert [path.name for path in (tmp_path / "revisions").iterdir()] == ["one"]
        with pytest.raises(InputError, match="there is no image"):
            unpack(built.reference[:-64] + "0" * 64, tmp_path / "revisions" / "two")
        assert not (tmp_path / "revisions" / "two").exists()
    assert unpack(built.reference, tmp_path / "revisions" / "one") == bento


def test_a_layer_that_a_registry_gives_wrongly_is_not_unpacked(
    builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    with bad_registry() as registry:
        built = builder.build(context, f"{registry.host}/me/iris")
        registry.manifests[built.digest] = registry.manifests["v1"]
        layer = json.loads(registry.manifests["v1"][0])["layers"][0]["digest"]
        registry.blobs[layer] = registry.blobs[layer][:-1] + b"x"
        with pytest.raises(CoalmineError, match="gave other bytes than"):
            unpack(built.reference, tmp_path / "out" / "one")
        assert list((tmp_path / "out").iterdir()) == []


def test_a_push_that_fails_leaves_the_tag_alone(
    builder: LayeredBuilder, context: Path, tmp_path: Path, context_writer: Callable[..., Path]
) -> None:
    with bad_registry() as registry:
        first = builder.build(context, f"{registry.host}/me/iris")
        other = context_writer(tmp_path / "other", code="answer = 1\n")
        registry.misbehave = lambda e: e.command == "PUT" and bool(e.body()) and e.answer(403)
        with pytest.raises(InputError, match="answered 403"):
            builder.build(other, f"{registry.host}/me/iris")
        assert _tagged(registry.host, "me/iris", "v1") == first.digest
        registry.misbehave = lambda e: False
        assert builder.build(other, f"{registry.host}/me/iris").sent_bytes > 0


def test_a_cached_blob_that_rotted_unseen_is_taken_away(
    builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    (context / "src" / "table.txt").write_text(WEIGHTS.hex())
    with bad_registry() as registry:
        builder.build(context, str(builder.cache))
        blob = max((builder.cache / "blobs" / "sha256").iterdir(), key=lambda p: p.stat().st_size)
        before = blob.stat()
        with blob.open("r+b") as file:
            file.write(b"rot")
        os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(CoalmineError, match="was damaged, and was taken away"):
            builder.build(context, f"{registry.host}/me/iris")
        assert not blob.exists()
        again = builder.build(context, f"{registry.host}/me/iris")
        assert _tagged(registry.host, "me/iris", "v1") == again.digest


_BUILD = """
import sys
from pathlib import Path
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import Platform
LayeredBuilder(platforms=(Platform("amd64"),), cache=Path(sys.argv[2]), base="none").build(
    Path(sys.argv[1]), sys.argv[3]
)
"""


@real
@pytest.mark.integration
def test_two_processes_share_a_cache(
    registry: RealRegistry,
    builder: LayeredBuilder,
    tmp_path: Path,
    context_writer: Callable[..., Path],
) -> None:
    versions = ("v1", "v2")
    contexts = [context_writer(tmp_path / v, version=v, weights=WEIGHTS) for v in versions]
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", _BUILD, context, builder.cache, f"{registry.host}/five/iris"]
        )
        for context in contexts
    ]
    assert [process.wait(60) for process in builders] == [0, 0]
    assert list((builder.cache / ".coalmine" / "tmp").iterdir()) == []
    for version, context in zip(versions, contexts, strict=True):
        again = builder.build(context, f"{registry.host}/five/iris")
        assert (again.written_bytes, again.sent_bytes) == (0, 0)
        assert _tagged(registry.host, "five/iris", version) == again.digest


@pytest.mark.parametrize("at", ["POST", "PUT"])
def test_a_killed_push_leaves_no_half_image(
    builder: LayeredBuilder, context: Path, at: str
) -> None:
    with bad_registry() as registry:
        children: list[subprocess.Popen[bytes]] = []

        def kill(exchange: Exchange) -> bool:
            if exchange.command != at:
                return False
            exchange.body(10)
            children[0].send_signal(signal.SIGKILL)
            children[0].wait()
            return exchange.drop()

        registry.misbehave = kill
        arguments = [str(context), str(builder.cache), f"{registry.host}/me/iris"]
        with registry.lock:
            children.append(subprocess.Popen([sys.executable, "-c", _BUILD, *arguments]))
        assert children[0].wait(60) == -signal.SIGKILL
        registry.misbehave = lambda e: False
        assert _tagged(registry.host, "me/iris", "v1") is None
        built = builder.build(context, f"{registry.host}/me/iris")
        assert built.written_bytes == 0
        assert _tagged(registry.host, "me/iris", "v1") == built.digest
        content, _ = registry.manifests["v1"]
        parts = json.loads(content)
        assert {item["digest"] for item in [parts["config"], *parts["layers"]]} <= set(
            registry.blobs
        )


def test_a_large_model_is_sent_and_not_copied(builder: LayeredBuilder, context: Path) -> None:
    (context / "models/iris_model/v1/model.bin").write_bytes(WEIGHTS)
    broken: list[str] = []

    def break_once(exchange: Exchange) -> bool:
        if exchange.command != "PUT" or exchange.length < len(WEIGHTS) or broken:
            return False
        broken.append(exchange.path)
        name = exchange.path.partition("?")[0].rpartition("/")[2]
        exchange.registry.uploads[name] += exchange.body(1_500_000)
        return exchange.drop()

    with bad_registry() as registry:
        registry.misbehave = break_once
        built = builder.build(context, f"{registry.host}/me/iris")
        assert broken
        assert built.written_bytes < 10_000
        assert built.sent_bytes > len(WEIGHTS)
        layer = json.loads(registry.manifests["v1"][0])["layers"][1]
        assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
        assert WEIGHTS in registry.blobs[layer["digest"]]
        assert builder.build(context, f"{registry.host}/me/iris").sent_bytes == 0


def test_a_new_version_of_a_model_is_sent_while_it_is_hashed(
    builder: LayeredBuilder, tmp_path: Path, context_writer: Callable[..., Path]
) -> None:
    large = random.Random(2).randbytes(5_000_000)
    with bad_registry() as registry:

        def push(folder: str, version: str) -> list[str]:
            context = context_writer(tmp_path / folder, version=version, weights=large)
            registry.seen.clear()
            builder.build(context, f"{registry.host}/early/iris")
            return registry.requests("PATCH")

        assert push("one", "v1") == [], "the cache is empty, and others may have pushed it"
        assert len(push("two", "v2")) == 1
        assert push("three", "v2") == [], "retrieved anew"


@pytest.mark.parametrize("fault", [False, True])
def test_a_new_version_of_a_model_that_shrinks_is_sent_while_it_is_packed(
    builder: LayeredBuilder, tmp_path: Path, context_writer: Callable[..., Path], *, fault: bool
) -> None:
    def drop(exchange: Exchange) -> bool:
        if not fault or exchange.command != "PATCH":
            return False
        exchange.body()
        return exchange.drop()

    with bad_registry() as registry:
        registry.misbehave = drop
        first = context_writer(tmp_path / "one", weights=SHRINKING)
        second = context_writer(tmp_path / "two", version="v2", weights=SHRINKING)
        builder.build(first, f"{registry.host}/early/iris")
        registry.seen.clear()
        before = set(registry.blobs)
        built = builder.build(second, f"{registry.host}/early/iris")
        assert len(registry.requests("PATCH")) == 1
        assert not [path for path in registry.requests("HEAD") if "/manifests/" in path]
        layer = json.loads(registry.manifests["v2"][0])["layers"][1]
        assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
        assert layer["size"] == len(registry.blobs[layer["digest"]]) < len(SHRINKING)
        new = [content for digest, content in registry.blobs.items() if digest not in before]
        assert built.sent_bytes == sum(map(len, new)) < len(SHRINKING)
        assert builder.build(second, f"{registry.host}/early/iris").sent_bytes == 0
        anew = replace(builder, cache=tmp_path / "empty")
        assert anew.build(second, str(tmp_path / "folder")).digest == built.digest


@pytest.mark.parametrize("large", [WEIGHTS * 3, SHRINKING])
def test_what_was_begun_is_given_up_where_the_build_fails(
    builder: LayeredBuilder, tmp_path: Path, context_writer: Callable[..., Path], large: bytes
) -> None:
    with bad_registry() as registry:
        first = context_writer(tmp_path / "one", weights=large)
        builder.build(first, f"{registry.host}/early/iris")
        second = context_writer(tmp_path / "two", version="v2", weights=large)
        based = replace(builder, base=f"{registry.host}/no/such:base")
        before = set(registry.blobs)
        with pytest.raises(InputError, match="there is no image"):
            based.build(second, f"{registry.host}/early/iris")
        assert set(registry.blobs) == before
        assert not any(registry.uploads.values())


@pytest.mark.parametrize("large", [WEIGHTS * 3, SHRINKING])
def test_killed_while_a_model_is_sent_and_hashed_it_leaves_no_half_image(
    builder: LayeredBuilder, tmp_path: Path, context_writer: Callable[..., Path], large: bytes
) -> None:
    first = context_writer(tmp_path / "one", weights=large)
    second = context_writer(tmp_path / "two", version="v2", weights=large[1:])
    with bad_registry() as registry:
        builder.build(first, f"{registry.host}/me/iris")
        children: list[subprocess.Popen[bytes]] = []

        def kill(exchange: Exchange) -> bool:
            if exchange.command != "PATCH":
                return False
            exchange.body(1000)
            children[0].send_signal(signal.SIGKILL)
            children[0].wait()
            return exchange.drop()

        registry.misbehave = kill
        arguments = [str(second), str(builder.cache), f"{registry.host}/me/iris"]
        with registry.lock:
            children.append(subprocess.Popen([sys.executable, "-c", _BUILD, *arguments]))
        assert children[0].wait(60) == -signal.SIGKILL
        registry.misbehave = lambda _: False
        assert "v2" not in registry.manifests
        builder.build(second, f"{registry.host}/me/iris")
        parts = json.loads(registry.manifests["v2"][0])
        assert {item["digest"] for item in parts["layers"]} <= set(registry.blobs)


def test_a_note_that_is_wrong_fails_one_push_and_no_more(
    builder: LayeredBuilder, context: Path
) -> None:
    (context / "models/iris_model/v1/model.bin").write_bytes(WEIGHTS)
    with bad_registry() as registry, pytest.MonkeyPatch.context() as patch:
        patch.setattr("coalmine.images.seen._SETTLED_SECONDS", -1000.0)
        sound = builder.build(context, f"{registry.host}/me/iris")
        (note,) = (builder.cache / ".coalmine/layers/seen").glob("*/*.json")
        said = json.loads(note.read_text())
        assert said["files"]
        note.write_text(json.dumps({**said, "digest": f"sha256:{'0' * 64}"}))
        registry.manifests.clear()
        with pytest.raises(CoalmineError, match="400"):
            builder.build(context, f"{registry.host}/me/iris")
        assert "v1" not in registry.manifests
        assert builder.build(context, f"{registry.host}/me/iris").digest == sound.digest
