"""Small base images, pushed to a registry that runs here."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

from coalmine.registry.address import Repository
from coalmine.registry.client import Manifest, open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.source import bytes_source

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def push_base(
    host: str,
    path: str = "base/python",
    *,
    tag: str = "slim",
    architectures: tuple[str, ...] = ("amd64", "arm64"),
    env: tuple[str, ...] = ("PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.11.9"),
    tree: bytes = b"",
) -> str:
    """Push an image as Docker writes it, an index of it if it is for more than one; its digest.

    Its one layer is the tar ``tree``, or a small one.
    """
    with open_repository(Repository(host, path), RegistryOptions()) as remote:
        images = []
        for architecture in architectures:
            tar = tree or _layer(architecture.encode() * 100)
            layer = bytes_source(gzip.compress(tar, mtime=0))
            config = bytes_source(_config(architecture, env, tar))
            remote.push_blobs([layer, config])
            manifest = Manifest(
                json.dumps(
                    {
                        "schemaVersion": 2,
                        "mediaType": DOCKER,
                        "config": _described(DOCKER_CONFIG, config.digest, config.size),
                        "layers": [_described(DOCKER_LAYER, layer.digest, layer.size)],
                    },
                    indent=3,
                ).encode(),
                DOCKER,
            )
            remote.push_manifest(manifest)
            about = {"platform": {"os": "linux", "architecture": architecture}}
            images.append(_described(DOCKER, manifest.digest, len(manifest.content)) | about)
        top = manifest
        if len(images) > 1:
            content = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": images}
            top = Manifest(json.dumps(content, indent=3).encode(), DOCKER_LIST)
        remote.push_manifest(top, tag)
    return top.digest


def _described(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _config(architecture: str, env: tuple[str, ...], tar: bytes) -> bytes:
    content = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": list(env)},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
        "history": [{"created_by": "the base"}],
    }
    return json.dumps(content).encode()


def _layer(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("etc/base")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()
