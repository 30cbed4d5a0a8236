"""From a pipeline's Python source to KFP IR, with kfp in a process of its own.

The source is a program: it may print, warn or exit, and it should find nothing of ours imported.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from coalmine._base.errors import InputError

__all__ = ["compile_source"]

EXPLAINED = 3
LONGEST_SECONDS = 120


def compile_source(
    path: Path, *, pipeline: str = "", meanwhile: Callable[[], object] = lambda: None
) -> str:
    """Compile a pipeline source with the KFP SDK.

    Args:
        path: A .py file with a function under ``@dsl.pipeline``.
        pipeline: The function's or the pipeline's name, where the file has several.
        meanwhile: What to do while kfp is at work; importing kfp alone takes more than a second.

    Returns:
        The IR as kfp writes it: YAML of one or two documents.

    Raises:
        InputError: kfp is not installed, or the source does not compile.
    """
    if importlib.util.find_spec("kfp") is None:
        raise InputError(
            "cannot be compiled: the KFP SDK is not installed",
            field=str(path),
            fix="pip install 'coalmine[kfp]', or give the compiled .yaml",
        )
    with tempfile.TemporaryDirectory(prefix="coalmine-compile-") as folder:
        output = Path(folder) / "pipeline.yaml"
        _run(path, output, pipeline, meanwhile)
        return output.read_text(encoding="utf-8")


def _run(path: Path, output: Path, pipeline: str, meanwhile: Callable[[], object]) -> None:
    command = [sys.executable, "-m", "coalmine.compiler._kfp", str(path), str(output), pipeline]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            meanwhile()
            _, said_on_stderr = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            raise InputError(
                f"did not compile within {LONGEST_SECONDS} seconds",
                field=str(path),
                fix="a pipeline source should only wire components; do the work inside of them",
            ) from None
        finally:
            process.kill()
    if process.returncode == 0 and output.is_file():
        return
    said = said_on_stderr.strip().splitlines()
    said = said or [f"it ended with exit code {process.returncode}"]
    raise InputError(
        f"does not compile: {said[-1]}",
        field=str(path),
        fix="name one with --pipeline"
        if process.returncode == EXPLAINED
        else f"see what Python says about it: {Path(sys.executable).name} {path}",
    )
