"""The image's configuration and manifest, as bytes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from coalmine.images.bento import BentoFacts
from coalmine.images.plan import BENTO_PATH, BENTOML_UID

__all__ = [
    "CONFIG_TYPE",
    "INDEX_TYPE",
    "LAYER_TYPES",
    "MANIFEST_TYPE",
    "TITLE",
    "Below",
    "Blob",
    "LayerBlob",
    "canonical",
    "config_bytes",
    "descriptor",
    "index_bytes",
    "manifest_bytes",
    "model_config_bytes",
    "oci_annotations",
]

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPES = {
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "none": "application/vnd.oci.image.layer.v1.tar",
}

TITLE = "dev.coalmine.layer"
"""The annotation that names what a layer holds; layers of a base image have none."""

_OCI = "org.opencontainers.image."
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATH = {"PATH": _SYSTEM_PATH}
_KSERVE_UID = 1000
_ENV = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONIOENCODING": "UTF-8",
    "PYTHONUNBUFFERED": "1",
    "BENTO_PATH": f"/{BENTO_PATH}",
    "BENTOML_HOME": "/home/bentoml/",
    "BENTOML_HF_CACHE_DIR": f"/{BENTO_PATH}/hf-models",
    "BENTOML_CONTAINERIZED": "true",
    "VIRTUAL_ENV": "/app/.venv",
    # The base image knows no user of our number: without these Python asks in vain for its name.
    "HOME": "/home/bentoml",
    "USER": "bentoml",
}


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored blob: ``sha256:`` digest, and size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """One stored layer.

    Attributes:
        title: What it holds, for people; empty for a layer of a base image.
        blob: Its stored form.
        diff_id: Digest of its uncompressed form.
        media_type: What the stored form is.
    """

    title: str
    blob: Blob
    diff_id: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Below:
    """What a base image brings along.

    Attributes:
        env: Its variables.
        history: As its configuration has it.
        name: What it is called; empty if there is no base.
        digest: Its digest.
        entrypoint: What it runs.
    """

    env: tuple[tuple[str, str], ...] = ()
    history: tuple[Mapping[str, object], ...] = ()
    name: str = ""
    digest: str = ""
    entrypoint: tuple[str, ...] = ()


def config_bytes(
    facts: BentoFacts,
    layers: Sequence[LayerBlob],
    *,
    created: datetime,
    architecture: str,
    below: Below = Below(),
) -> bytes:
    """Make the image configuration: what BentoML's own Dockerfile sets, and our labels.

    The user is given by number, as Kubernetes' runAsNonRoot can check only numbers.
    """
    runs: dict[str, object] = {
        "User": f"{BENTOML_UID}:{BENTOML_UID}",
        "ExposedPorts": {"3000/tcp": {}, "3001/tcp": {}},
        "Env": [f"{name}={value}" for name, value in _env(facts, below).items()],
        "Entrypoint": [f"/{BENTO_PATH}/env/docker/entrypoint.sh"],
        "WorkingDir": f"/{BENTO_PATH}",
    }
    return _config(facts, layers, runs, below, created=created, architecture=architecture)


def model_config_bytes(
    facts: BentoFacts,
    layers: Sequence[LayerBlob],
    *,
    created: datetime,
    architecture: str,
    below: Below = Below(),
) -> bytes:
    """Make the configuration of an image of models alone: it runs what its base runs.

    The user is that of KServe's own model servers: a server sees a model beside it through
    ``/proc/PID/root``, which Linux lets it follow only to a process of the same user.
    """
    runs: dict[str, object] = {
        "User": f"{_KSERVE_UID}:{_KSERVE_UID}",
        "Env": [f"{name}={value}" for name, value in (dict(below.env) or _PATH).items()],
        "WorkingDir": "/",
        **({"Entrypoint": list(below.entrypoint)} if below.entrypoint else {}),
    }
    return _config(facts, layers, runs, below, created=created, architecture=architecture)


def manifest_bytes(
    config: Blob,
    layers: Sequence[LayerBlob],
    annotated: Mapping[str, str],
    *,
    config_type: str = CONFIG_TYPE,
) -> bytes:
    """Make the image manifest."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(config_type, config),
            "layers": [_layer(layer) for layer in layers],
            "annotations": dict(annotated),
        }
    )


def index_bytes(images: Sequence[tuple[str, Blob]], annotated: Mapping[str, str]) -> bytes:
    """Make the index of one image for several architectures."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [
                descriptor(MANIFEST_TYPE, manifest)
                | {"platform": {"architecture": architecture, "os": "linux"}}
                for architecture, manifest in images
            ],
            "annotations": dict(annotated),
        }
    )


def oci_annotations(
    facts: BentoFacts,
    created: datetime,
    below: Below = Below(),
) -> Mapping[str, str]:
    """Say what the image is, in OCI's words; the bento's own labels may say more.

    A label of the bento that begins with ``org.opencontainers.image.``, as ``source`` and
    ``revision`` do, is an annotation too.
    """
    base = {f"{_OCI}base.name": below.name, f"{_OCI}base.digest": below.digest}
    return {
        **{name: value for name, value in facts.labels if name.startswith(_OCI)},
        f"{_OCI}title": facts.name,
        f"{_OCI}version": facts.version,
        f"{_OCI}created": _rfc3339(created),
        "dev.coalmine.bento": f"{facts.name}:{facts.version}",
        **(base if below.name else {}),
    }


def _config(
    facts: BentoFacts,
    layers: Sequence[LayerBlob],
    runs: dict[str, object],
    below: Below,
    *,
    created: datetime,
    architecture: str,
) -> bytes:
    moment = _rfc3339(created)
    own = [{"created": moment, "created_by": layer.title} for layer in layers if layer.title]
    runs["Labels"] = dict(facts.labels) | dict(oci_annotations(facts, created))
    return canonical(
        {
            "architecture": architecture,
            "os": "linux",
            "created": moment,
            "config": runs,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [*below.history, *own],
        }
    )


def _env(facts: BentoFacts, below: Below) -> dict[str, str]:
    found = {**dict(below.env), **_ENV, **dict(facts.env)}
    path = dict(below.env).get("PATH", _SYSTEM_PATH)
    return found | ({} if "PATH" in dict(facts.env) else {"PATH": f"/app/.venv/bin:{path}"})


def _layer(layer: LayerBlob) -> dict[str, object]:
    titled = {"annotations": {TITLE: layer.title}} if layer.title else {}
    return descriptor(layer.media_type, layer.blob) | titled


def descriptor(media_type: str, blob: Blob) -> dict[str, object]:
    """Point to a blob."""
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def canonical(content: object) -> bytes:
    """Write JSON that is the same for the same content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
