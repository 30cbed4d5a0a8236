"""Compile one pipeline source with kfp: run as a process of its own by ``source``.

``python -m coalmine.compiler._kfp FILE OUTPUT [PIPELINE]``. Exit code 3 means that stderr holds one
sentence for the user; any other failure is the pipeline's own and leaves its traceback there.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

gc.disable()  # a tenth of the time; what a process of a second leaves goes with it

CLIENT = "kfp.client"
# Importing kfp's client takes half of the time, and it is for pipelines that are compiled already.
# So kfp is told that it is there; a source that asks for it gets the real one.
_stand_in = ModuleType(CLIENT)
_stand_in.Client = None  # type: ignore[attr-defined]
sys.modules[CLIENT] = _stand_in

import kfp  # noqa: E402
from kfp import compiler  # noqa: E402
from kfp.dsl.graph_component import GraphComponent  # noqa: E402

from coalmine.compiler.source import EXPLAINED  # noqa: E402

__all__: list[str] = []


def _late(name: str) -> object:
    if name not in {"Client", "client"}:
        raise AttributeError(f"module 'kfp' has no attribute {name!r}")
    client = importlib.import_module(CLIENT)
    return client.Client if name == "Client" else client


del sys.modules[CLIENT], kfp.Client
kfp.__getattr__ = _late


def _main(file: str, output: str, wanted: str = "") -> None:
    path = Path(file)
    sys.path.insert(0, str(path.parent))
    found = _pipelines(_load(path))
    chosen = {key: item for key, item in found.items() if wanted in {"", key, item.name}}
    if len(chosen) != 1:
        known = ", ".join(sorted(found)) or "none"
        problem = f"no pipeline {wanted!r}" if wanted else f"{len(found)} pipelines"
        sys.stderr.write(f"it holds {problem}; found: {known}\n")
        sys.exit(EXPLAINED)
    compiler.Compiler().compile(next(iter(chosen.values())), output)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _pipelines(module: ModuleType) -> dict[str, GraphComponent]:
    named = {key: item for key, item in vars(module).items() if isinstance(item, GraphComponent)}
    return {key: item for key, item in named.items() if not key.startswith("_")}


if __name__ == "__main__":
    _main(*sys.argv[1:])
