"""Image 2 after image 1: bytes and time, beside the floor of hashing and copying what changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from measure import interleaved, print_head, print_timing

from coalmine.demo.bentos import DEMO_NAME, build_demo_bentos
from coalmine.images.layered import LayeredBuilder
from coalmine.images.protocol import BuiltImage
from coalmine.stores.local import LocalStore

ROUNDS = 5
LARGE_MODEL_BYTES = 50_000_000


def main() -> None:
    home = Path(".coalmine/bench/bentoml").absolute()
    v1, v2, _ = build_demo_bentos(home)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        first, second = (_fetch(home, v, Path(folder) / v) for v in (v1, v2))
        _bench("the demo's Iris models", first, second, Path(folder))
        for number, context in enumerate((first, second)):
            _grow_model(context, seed=number)
        _bench(f"models of {LARGE_MODEL_BYTES // 1_000_000} MB", first, second, Path(folder))


def _fetch(home: Path, version: str, into: Path) -> Path:
    LocalStore(home).find(DEMO_NAME, version).fetch(into)
    return into


def _grow_model(context: Path, *, seed: int) -> None:
    """Make the model large and incompressible, as weights are."""
    model = next(path for path in (context / "models").rglob("*") if path.suffix == ".joblib")
    block = hashlib.shake_256(bytes([seed])).digest(LARGE_MODEL_BYTES)
    model.write_bytes(block)


def _bench(title: str, first: Path, second: Path, folder: Path) -> None:
    images: dict[str, BuiltImage] = {}

    def image(name: str, context: Path, *, fresh: bool) -> float:
        layout = folder / "layout"
        if fresh:
            shutil.rmtree(layout, ignore_errors=True)
        began = time.perf_counter()
        images[name] = LayeredBuilder().build(context, str(layout))
        return time.perf_counter() - began

    timings = interleaved(
        ROUNDS,
        floor=lambda: _hash_and_copy(second / "models", folder / "floor"),
        image_1=lambda: image("image_1", first, fresh=True),
        image_2=lambda: image("image_2", second, fresh=False),
        image_2_again=lambda: image("image_2_again", second, fresh=False),
    )
    print_head(f"Building images: {title}")
    print_timing(list(timings.values()), floor="floor")
    for name, built in images.items():
        print(
            f"  {name:34} {built.written_bytes:>12,} bytes written, "
            f"{built.reused_bytes:>12,} reused"
        )
    assert images["image_2_again"].written_bytes == 0
    assert images["image_2"].digest == images["image_2_again"].digest


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


if __name__ == "__main__":
    main()
