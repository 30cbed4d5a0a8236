"""A base image whose registry writes other things than digests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_registry import BadRegistry, bad_registry
from base_images import push_base

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.blobs import Blobs
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import Platform
from coalmine.images.unpack import unpack

CLIMBING = "sha256:../../../victim"
Change = Callable[[dict[str, Any]], object]


def _change(hub: BadRegistry, change: Change) -> None:
    content, media_type = hub.manifests["slim"]
    document = json.loads(content)
    change(document)
    hub.manifests["slim"] = json.dumps(document).encode(), media_type


def _config(digest: object) -> Change:
    return lambda manifest: manifest["config"].update(digest=digest, size=len("precious"))


@pytest.mark.parametrize(
    ("architectures", "change"),
    [
        (("amd64",), _config(CLIMBING)),
        (("amd64",), _config(7)),
        (("amd64",), lambda manifest: manifest["config"].update(size=1 << 40)),
        (("amd64",), lambda manifest: manifest["config"].update(size=float("inf"))),
        (("amd64",), lambda manifest: manifest["layers"][0].update(digest=CLIMBING)),
        (("amd64", "arm64"), lambda index: index["manifests"][0].update(digest=CLIMBING)),
        (("amd64", "arm64"), lambda index: index.update(manifests=["amd64"])),
        (("amd64", "arm64"), lambda index: index.update(manifests=None)),
    ],
)
def test_no_file_outside_the_cache_is_touched(
    context: Path, tmp_path: Path, architectures: tuple[str, ...], change: Change
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    cache = tmp_path / "cache"
    assert (cache / "blobs" / "sha256" / "../../../victim").resolve() == victim
    with bad_registry() as hub:
        push_base(hub.host, architectures=architectures)
        _change(hub, change)
        builder = LayeredBuilder(
            platforms=(Platform("amd64"),), cache=cache, base=f"{hub.host}/base/python:slim"
        )
        with pytest.raises(InputError):
            builder.build(context, f"{hub.host}/me/iris")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("digest", ["", CLIMBING, "/etc/passwd", "sha256:" + "A" * 64])
def test_a_blob_is_named_by_a_digest_alone(tmp_path: Path, digest: str) -> None:
    with pytest.raises(InputError, match="is no digest"):
        Blobs(tmp_path, tmp_path / "tmp").path(digest)


def test_a_layer_that_is_larger_than_was_said_does_not_fill_the_disk(
    context: Path, tmp_path: Path
) -> None:
    with bad_registry() as hub:
        builder = LayeredBuilder(cache=tmp_path / "cache", base="none")
        built = builder.build(context, f"{hub.host}/me/iris")
        hub.manifests[built.digest] = hub.manifests["v1"]
        layer = json.loads(hub.manifests["v1"][0])["layers"][-1]
        hub.blobs[layer["digest"]] += bytes(5_000_000)
        with pytest.raises(CoalmineError, match=f"more than the {layer['size']} bytes"):
            unpack(built.reference, tmp_path / "out" / "it")
    assert not any((tmp_path / "out").iterdir())
