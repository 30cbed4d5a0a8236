"""Image 2 after image 1: bytes and time, beside the floor and beside buildah, to a registry."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from base_images import push_base
from containerize import Containerize, find_busybox, new_version
from measure import Timing, interleaved, print_head, print_timing
from real_registry import RealRegistry, find_registry, running_registry

from coalmine.demo.bentos import DEMO_NAME, build_demo_bentos
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import Platform
from coalmine.images.protocol import BuiltImage
from coalmine.registry.source import bytes_source
from coalmine.stores.local import LocalStore

ROUNDS = 5
LARGE_MODEL_BYTES = 50_000_000
HUGE_MODEL_BYTES = 1_000_000_000
AT_ONCE = 10
SLOW_ROUNDS = 3
PEERS = {"buildah", "containerize"}
DOCKERFILE = """FROM {base}
WORKDIR /home/bentoml/bento
COPY env ./env
COPY src ./src
COPY . ./
"""
MEASURED = """
import sys
from pathlib import Path
from coalmine.images.layered import LayeredBuilder
LayeredBuilder(cache=Path(sys.argv[2]), base="none").build(Path(sys.argv[1]), sys.argv[3])
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


class Bench:
    """Contexts, a registry and two builders in one folder."""

    def __init__(self, home: Path, folder: Path, context: Path, registry: RealRegistry) -> None:
        self.home = home
        self.folder, self.context, self.registry = folder, context, registry
        self.base = f"{registry.host}/base/python:slim"
        self.builder = LayeredBuilder(
            platforms=(Platform("amd64"),), cache=folder / "cache", base=self.base
        )
        self.seed = 0
        self.peer: Containerize | None = None
        self.built: BuiltImage | None = None

    def new_model(self) -> None:
        """Put a new version of the model in, incompressible as weights are."""
        self.seed += 1
        next_version(self.context, self.version)
        grow(self.context, LARGE_MODEL_BYTES, self.seed)
        if self.peer:
            self.peer.renew(self.version, weights(LARGE_MODEL_BYTES, self.seed))

    @property
    def version(self) -> str:
        """The newest version of bento and model."""
        return f"retrained-{self.seed}"

    def ours(self) -> None:
        self.built = self.builder.build(self.context, f"{self.registry.host}/ours/iris")

    def buildah(self) -> None:
        """Build and push with buildah; it has seen all but the model before."""
        storage = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        buildah = ["buildah", *storage, "--storage-driver", "vfs"]
        image = f"{self.registry.host}/peer/iris:v2"
        dockerfile = self.folder / "Dockerfile"
        dockerfile.write_text(DOCKERFILE.format(base=self.base))
        _run(
            *buildah, "bud", "--layers", "--isolation", "chroot", "--tls-verify=false",
            "-f", str(dockerfile), "-t", image, str(self.context),
        )  # fmt: skip
        _run(*buildah, "push", "--tls-verify=false", image)

    def containerize(self) -> None:
        """Build and push with BentoML's own command, for which a run has been prepared."""
        assert self.peer
        self.peer.run(self.version)

    def bare_put(self) -> float:
        """Only send so many bytes to the registry, which hashes and keeps them; its seconds."""
        content = os.urandom(LARGE_MODEL_BYTES)
        source = bytes_source(content)
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
        hash_and_copy(self.context / "models", self.folder / "floor")


def main() -> None:
    if find_registry() is None:
        sys.exit("docker-registry cannot be had here")
    home = Path(".coalmine/bench/bentoml").absolute()
    _, v2, _ = build_demo_bentos(home)
    with (
        tempfile.TemporaryDirectory(dir=home.parent) as name,
        running_registry(Path(name) / "registry") as registry,
    ):
        folder = Path(name)
        context = folder / v2
        LocalStore(home).find(DEMO_NAME, v2).fetch(context)
        push_base(registry.host)
        bench = Bench(home, folder, context, registry)
        for chosen, part in PARTS.items():
            if not sys.argv[1:] or chosen in sys.argv[1:]:
                part(bench)


def first_build(bench: Bench) -> None:
    print_head("First image of the Iris bento, with all packages, to a registry")
    began = time.perf_counter()
    bench.ours()
    assert bench.built is not None
    print(
        f"  {time.perf_counter() - began:.1f} s, {bench.built.sent_bytes:,} bytes sent "
        "(uv's cache as it was)"
    )


def model_only(bench: Bench) -> None:
    names = ["floor", "bare_put", "ours"]
    if shutil.which("buildah") is None:
        print("  buildah is not installed")
    else:
        names.append("buildah")
        busybox = find_busybox()
        if busybox is None:
            print("  bentoml containerize is left out: Debian's busybox cannot be had here")
        else:
            bench.peer = Containerize(bench.home, bench.folder, bench.registry.host, busybox)
            names.append("containerize")
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(ROUNDS + 1):
        bench.new_model()
        for name in names:
            if name == "containerize" and number > SLOW_ROUNDS:
                continue
            began = time.perf_counter()
            own = getattr(bench, name)()
            if number:
                taken[name].append(own or time.perf_counter() - began)
    bench.peer = None
    print_head(f"Only a model of {LARGE_MODEL_BYTES // 1_000_000} MB changed, to a registry")
    print_timing(
        [Timing(name, tuple(seconds)) for name, seconds in taken.items() if seconds], floor="floor"
    )
    assert bench.built is not None
    print(f"  ours sent {bench.built.sent_bytes:,} bytes")
    median = {name: statistics.median(seconds) for name, seconds in taken.items() if seconds}
    print_goals(median)


def print_goals(median: Mapping[str, float]) -> None:
    """Say whether it is as quick as it is to be: 1.5 floors and 0.3 s, a tenth of every peer."""
    most = 1.5 * median["floor"] + 0.3
    holds = "holds" if median["ours"] <= most else "does not hold"
    print(f"  ours {median['ours']:.3f} s <= 1.5 x floor + 0.3 s = {most:.3f} s: {holds}")
    for peer in PEERS & median.keys():
        print(
            f"  {peer} takes {median[peer] / median['ours']:.1f} times as long as ours, "
            f"and {median[peer] / median['bare_put']:.1f} times as long as the bare upload"
        )


def nothing_changed(bench: Bench) -> None:
    timings = interleaved(ROUNDS, floor=bench.floor, nothing_changed=bench.ours)
    print_head("Nothing changed")
    print_timing(list(timings.values()), floor="floor")
    assert bench.built is not None
    assert bench.built.sent_bytes == 0


def at_once(bench: Bench) -> None:
    folder, context, registry = bench.folder, bench.context, bench.registry
    contexts = []
    for number in range(AT_ONCE):
        contexts.append(folder / f"at-once-{number}")
        shutil.copytree(context, contexts[-1], symlinks=True)
        grow(contexts[-1], LARGE_MODEL_BYTES // 10, 1000 + number)
    builder = LayeredBuilder(cache=folder / "shared", base="none")

    def build(number: int) -> None:
        builder.build(contexts[number], f"{registry.host}/many/iris:v{number}")

    began = time.perf_counter()
    build(0)
    one = time.perf_counter() - began
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(build, range(AT_ONCE)))
    print_head(f"{AT_ONCE} builds at once, models of {LARGE_MODEL_BYTES // 10_000_000} MB")
    print(f"  one {one:.2f} s, all {time.perf_counter() - began:.2f} s")


def memory(bench: Bench) -> None:
    folder, context, registry = bench.folder, bench.context, bench.registry
    print_head("Peak memory of build and push")
    for size in (LARGE_MODEL_BYTES, HUGE_MODEL_BYTES):
        grow(context, size, 2000)
        began = time.perf_counter()
        arguments = [str(context), str(folder / "memory"), f"{registry.host}/memory/iris"]
        said = _run(sys.executable, "-c", MEASURED, *arguments)
        seconds = time.perf_counter() - began
        print(f"  model of {size // 1_000_000:>5} MB: {int(said) / 1024:6.1f} MB, {seconds:.1f} s")


def next_version(context: Path, version: str) -> None:
    """Give the bento and its model another version."""
    (model,) = (path for path in (context / "models").glob("*/*") if path.is_dir())
    model.rename(model.with_name(version))
    new_version(context / "bento.yaml", model.name, version)


def grow(context: Path, size: int, seed: int) -> None:
    model = next(path for path in (context / "models").rglob("*") if path.suffix == ".joblib")
    block = weights(min(size, LARGE_MODEL_BYTES), seed)
    with model.open("wb") as file:
        for begin in range(0, size, len(block)):
            file.write(block[: size - begin])


def weights(size: int, seed: int) -> bytes:
    """Give bytes that nothing can shrink."""
    return hashlib.shake_256(seed.to_bytes(4)).digest(size)


def hash_and_copy(changed: Path, into: Path) -> None:
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


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout


PARTS: dict[str, Callable[[Bench], None]] = {
    "first": first_build,
    "model": model_only,
    "same": nothing_changed,
    "ten": at_once,
    "memory": memory,
}
"""The parts, by the names that choose them on the command line."""


if __name__ == "__main__":
    main()
