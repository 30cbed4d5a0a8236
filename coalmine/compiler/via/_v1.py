"""Compile a pipeline in the DSL of kfp 1.8: run in an environment of its own, by its path.

``python _v1.py SOURCE tekton|argo OUTPUT [PIPELINE]``. Nothing of Coalmine is there. Exit code 3
means that stderr holds one sentence for the user.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

__all__: list[str] = []

EXPLAINED = 3


def _main(source: str, target: str, output: str, wanted: str = "") -> None:
    path = Path(source)
    sys.path.insert(0, str(path.parent))
    found = _pipelines(path)
    chosen = {name: item for name, item in found.items() if wanted in {"", name}}
    if len(chosen) != 1:
        known = ", ".join(sorted(found)) or "none"
        problem = f"no pipeline {wanted!r}" if wanted else f"{len(found)} pipelines of kfp 1.8"
        sys.stderr.write(f"it holds {problem}; found: {known}\n")
        sys.exit(EXPLAINED)
    if target == "tekton":
        from kfp_tekton.compiler import TektonCompiler as Compiler  # noqa: PLC0415
    else:
        from kfp.compiler import Compiler  # noqa: PLC0415
    Compiler().compile(next(iter(chosen.values())), output)


def _pipelines(path: Path) -> dict[str, Callable[..., object]]:
    from kfp.dsl import _pipeline  # noqa: PLC0415 - kfp 1.8 has no other word for it

    _pipeline._pipeline_decorator_handler = None  # noqa: SLF001
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return {
        name: item
        for name, item in vars(module).items()
        if callable(item) and hasattr(item, "_component_human_name")
    }


if __name__ == "__main__":
    _main(*sys.argv[1:])
