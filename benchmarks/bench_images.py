"""Image 2 after image 1: bytes and time, beside the floor and beside buildah, to a registry.

Parts can be chosen by name on the command line; see PARTS.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from base_images import push_base
from image_bench import MODEL_BYTES, MODELS, Bench, measured_build, next_version, put_model
from measure import Timing, interleaved, print_head, print_timing
from real_registry import find_registry, running_registry

from coalmine.demo.bentos import DEMO_NAME, build_demo_bentos
from coalmine.images.layered import LayeredBuilder
from coalmine.stores.local import LocalStore

ROUNDS, PEER_ROUNDS = 5, 3
HUGE_BYTES = 1_000_000_000
AT_ONCE = 10


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


def forest_only(bench: Bench) -> None:
    model_only(bench, "forest", "Only a forest of scikit-learn, of 50 MB, was trained anew")


def weights_only(bench: Bench) -> None:
    model_only(bench, "weights", "The worst case: only a model of 50 MB that does not shrink")


def model_only(bench: Bench, kind: str, title: str) -> None:
    bench.kind = kind
    taken: dict[str, list[float]] = {}
    sent: dict[str, int] = {}
    for number in range(ROUNDS + 1):
        bench.new_model()
        for name in ("floor", "ours", "bare_put"):
            _time(taken, name, getattr(bench, name), counts=number > 0)
        for name in bench.peers if number <= PEER_ROUNDS else ():
            before = bench.stored_bytes()
            _time(taken, name, partial(bench.peer, name), counts=number > 0)
            sent[name] = bench.stored_bytes() - before
    print_head(f"{title}, to a registry")
    timings = {name: Timing(name, tuple(seconds)) for name, seconds in taken.items()}
    print_timing(list(timings.values()), floor="floor")
    assert bench.built is not None
    print(f"  ours sent {bench.built.sent_bytes:,} bytes; its memory is below")
    for name, peer in bench.peers.items():
        print(f"  {name} sent {sent[name]:,} bytes, peak memory {peer.peak / 1024:.0f} MB")
    print_goals(timings, list(bench.peers))


def _time(
    taken: dict[str, list[float]], name: str, do: Callable[[], float | None], *, counts: bool
) -> None:
    began = time.perf_counter()
    own = do()
    if counts:
        taken.setdefault(name, []).append(own or time.perf_counter() - began)


def print_goals(timings: dict[str, Timing], peers: list[str]) -> None:
    """Say whether it is as quick as it is to be: 1.5 floors and 0.3 s, a tenth of every peer."""
    ours, bare = timings["ours"].median, timings["bare_put"].median
    most = 1.5 * timings["floor"].median + 0.3
    holds = "holds" if ours <= most else "does not hold"
    print(f"  ours {ours:.3f} s <= 1.5 x floor + 0.3 s = {most:.3f} s: {holds}")
    for name in peers:
        peer = timings[name].median
        print(
            f"  {name} takes {peer / ours:.1f} times as long as ours, "
            f"and {peer / bare:.1f} times as long as the bare upload"
        )


def nothing_changed(bench: Bench) -> None:
    bench.ours()
    timings = interleaved(ROUNDS, floor=bench.floor, nothing_changed=bench.ours)
    print_head("Nothing changed")
    print_timing(list(timings.values()), floor="floor")
    assert bench.built is not None
    assert bench.built.sent_bytes == 0
    holds = "holds" if timings["nothing_changed"].median < 0.5 else "does not hold"
    print(f"  ours sent 0 bytes; below 0.5 s: {holds}")


def at_once(bench: Bench) -> None:
    folder, context, registry = bench.folder, bench.context, bench.registry
    contexts = []
    for number in range(AT_ONCE):
        contexts.append(folder / f"at-once-{number}")
        shutil.copytree(context, contexts[-1], symlinks=True)
        put_model(contexts[-1], os.urandom(MODEL_BYTES // 10))
    builder = LayeredBuilder(cache=folder / "shared", base="none")

    def build(number: int) -> None:
        builder.build(contexts[number], f"{registry.host}/many/iris:v{number}")

    began = time.perf_counter()
    build(0)
    one = time.perf_counter() - began
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(build, range(AT_ONCE)))
    print_head(f"{AT_ONCE} builds at once, models of {MODEL_BYTES // 10_000_000} MB")
    print(f"  one {one:.2f} s, all {time.perf_counter() - began:.2f} s")


def memory(bench: Bench) -> None:
    print_head("Peak memory of build and push of a new version of a model")
    target = f"{bench.registry.host}/memory/iris"
    put_model(bench.context, b"the version before")
    measured_build(bench.context, bench.folder / "memory", target)
    for kind, make in MODELS.items():
        for size in (MODEL_BYTES, HUGE_BYTES):
            next_version(bench.context, f"{kind}-{size}")
            put_model(bench.context, make(bench.home.parent, 1), size)
            began = time.perf_counter()
            peak = measured_build(bench.context, bench.folder / "memory", target) / 1024
            seconds = time.perf_counter() - began
            holds = "below 100 MB" if peak < 100 else "not below 100 MB"
            print(f"  {kind:8} {size // 1_000_000:>5} MB: {peak:5.1f} MB, {holds}; {seconds:.1f} s")


def same_digest(bench: Bench) -> None:
    print_head("The same bento in two clean folders: other times, umask and order of files")
    put_model(bench.context, MODELS["forest"](bench.home.parent, 1))
    digests = set()
    for name, mask, backwards in (("here", 0o022, False), ("there", 0o077, True)):
        before = os.umask(mask)
        copy = _copied(bench.context, bench.folder / f"clean-{name}", backwards=backwards)
        target = f"{bench.registry.host}/same/{name}"
        cache = bench.folder / f"clean-{name}-cache"
        digests.add(replace(bench.builder, cache=cache, base="none").build(copy, target).digest)
        os.umask(before)
    print(f"  {len(digests)} digest: {', '.join(sorted(digests))}")
    assert len(digests) == 1


def _copied(context: Path, into: Path, *, backwards: bool) -> Path:
    """Copy contents, and whether they can be run, and nothing else."""
    for path in sorted(context.rglob("*"), reverse=backwards):
        place = into / path.relative_to(context)
        if path.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.readlink())
        elif path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            place.chmod(place.stat().st_mode | (path.stat().st_mode & 0o100))
    return into


PARTS: dict[str, Callable[[Bench], None]] = {
    "first": first_build,
    "forest": forest_only,
    "weights": weights_only,
    "same": nothing_changed,
    "ten": at_once,
    "memory": memory,
    "digest": same_digest,
}
"""The parts, by the names that choose them on the command line."""


if __name__ == "__main__":
    main()
