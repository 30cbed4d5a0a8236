"""One bento whose model changes, a registry, and what builds and sends its image."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
from buildah_peer import ONLY_COPY, Buildah, own_dockerfile, run, touch
from containerize import Containerize, find_busybox, new_version
from forests import forest
from real_registry import RealRegistry

from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import Platform
from coalmine.images.protocol import BuiltImage
from coalmine.registry.source import bytes_source

__all__ = ["MODELS", "MODEL_BYTES", "Bench", "measured_build", "next_version", "put_model"]

MODEL_BYTES = 50_000_000
_PUSHES = {
    "copy_only": (),
    # its quickest here; -D, which is to leave layers unpacked, still sends them by gzip
    "copy_only_zstd": ("--compression-format=zstd", "--compression-level=1"),
}
_MEASURED = """
import sys
from pathlib import Path
from coalmine.images.layered import LayeredBuilder
LayeredBuilder(cache=Path(sys.argv[2]), base="none").build(Path(sys.argv[1]), sys.argv[3])
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def weights(_: Path, seed: int) -> bytes:
    """Give 50 MB that nothing can shrink."""
    return hashlib.shake_256(seed.to_bytes(4)).digest(MODEL_BYTES)


def trained(folder: Path, seed: int) -> bytes:
    """Give a forest of scikit-learn, of about 50 MB."""
    return forest(folder / "forests", seed).read_bytes()


MODELS: Mapping[str, Callable[[Path, int], bytes]] = {"forest": trained, "weights": weights}
"""The models that are measured: content by a folder in which to keep it, and a seed."""


class Bench:
    """Contexts, a registry and builders in one folder.

    Args:
        home: A BENTOML_HOME with the demo's bentos; what is kept from run to run is beside it.
        folder: For all that is made; in a folder beside it.
        context: The bento, to be changed.
        registry: Where images go.

    Attributes:
        seed: Number of the newest version.
        built: The image that ours built last.
        kind: Which of the models; see MODELS.
        peers: What builds beside ours.
    """

    def __init__(self, home: Path, folder: Path, context: Path, registry: RealRegistry) -> None:
        self.home, self.folder, self.context, self.registry = home, folder, context, registry
        self.base = f"{registry.host}/base/python:slim"
        self.builder = LayeredBuilder(
            platforms=(Platform("amd64"),), cache=folder / "cache", base=self.base
        )
        self.seed, self.kind = 0, "weights"
        self.built: BuiltImage | None = None
        self.peers = self._find_peers()

    @property
    def version(self) -> str:
        """The newest version of bento and model."""
        return f"retrained-{self.seed}"

    def new_model(self) -> None:
        """Put a new version of the model in."""
        self.seed += 1
        content = MODELS[self.kind](self.home.parent, self.seed)
        next_version(self.context, self.version)
        put_model(self.context, content)
        if containerize := self.peers.get("containerize"):
            assert isinstance(containerize, Containerize)
            containerize.renew(self.version, content)

    def ours(self) -> None:
        self.built = self.builder.build(self.context, f"{self.registry.host}/ours/iris")

    def peer(self, name: str) -> None:
        """Build and push with one of the peers, for which this bento is as new as for us."""
        touch(self.context)
        self.peers[name].run(self.version)

    def bare_put(self) -> float:
        """Only send as many bytes as ours last did, in a single request; its seconds."""
        assert self.built is not None
        source = bytes_source(os.urandom(self.built.sent_bytes))
        url = f"http://{self.registry.host}/v2/bare/put/blobs/uploads/"
        began = time.perf_counter()
        with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
            place = client.post(url).headers["Location"]
            sent = client.put(
                place,
                params={**dict(httpx.URL(place).params), "digest": source.digest},
                content=source.pieces(0, source.size),
                headers={"Content-Length": str(source.size)},
            )
        assert sent.status_code == httpx.codes.CREATED
        return time.perf_counter() - began

    def floor(self) -> None:
        _hash_and_copy(self.context / "models", self.folder / "floor")

    def stored_bytes(self) -> int:
        """Say how many bytes of blobs the registry holds."""
        blobs = self.registry.root / "docker/registry/v2/blobs"
        return sum(path.stat().st_size for path in blobs.rglob("data"))

    def _find_peers(self) -> dict[str, Buildah | Containerize]:
        if shutil.which("buildah") is None:
            print("  buildah is not installed")
            return {}
        host, copies = self.registry.host, ONLY_COPY.format(base=self.base)
        peers: dict[str, Buildah | Containerize] = {
            name: Buildah(self.folder / name, self.context, host, copies, flags)
            for name, flags in _PUSHES.items()
        }
        busybox = find_busybox()
        if busybox is None:
            print("  bentoml containerize is left out: Debian's busybox cannot be had here")
        else:
            peers["containerize"] = Containerize(self.home, self.folder, host, busybox)
            own = own_dockerfile(self.context, f"{host}/base/busybox:slim")
            peers["buildah"] = Buildah(self.folder / "buildah", self.context, host, own)
        return peers


def measured_build(context: Path, cache: Path, target: str) -> int:
    """Build and push in a process of its own; its peak memory, in KiB."""
    said = run(sys.executable, "-c", _MEASURED, str(context), str(cache), target)
    return int(said)


def next_version(context: Path, version: str) -> None:
    """Give the bento and its model another version."""
    (model,) = (path for path in (context / "models").glob("*/*") if path.is_dir())
    model.rename(model.with_name(version))
    new_version(context / "bento.yaml", model.name, version)


def put_model(context: Path, content: bytes, size: int = 0) -> None:
    """Make a content the model's, repeated up to a size."""
    model = next(path for path in (context / "models").rglob("*") if path.suffix == ".joblib")
    size = size or len(content)
    with model.open("wb") as file:
        for begin in range(0, size, len(content)):
            file.write(content[: size - begin])


def _hash_and_copy(changed: Path, into: Path) -> None:
    """Do the least that any builder must: read, hash and durably write the changed model."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for number, path in enumerate(sorted(p for p in changed.rglob("*") if p.is_file())):
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        with (into / str(number)).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
