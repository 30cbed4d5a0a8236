"""An environment of its own for kfp 1.8 and kfp-tekton, which cannot share one with kfp 2."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["compile_v1"]

PACKAGES = ("kfp==1.8.22", "kfp-tekton==1.9.3", "setuptools<81")
EXPLAINED = 3
LONGEST_SECONDS = 900
"""The first time everything is downloaded."""


def compile_v1(source: Path, target: str, *, pipeline: str = "") -> str:
    """Compile a pipeline in the DSL of kfp 1.8.

    Args:
        source: A .py file.
        target: ``tekton`` for a PipelineRun by kfp-tekton, ``argo`` for a Workflow by kfp 1.8.
        pipeline: The function's name, where the file has several.

    Returns:
        YAML, as the compiler wrote it.

    Raises:
        InputError: The source does not compile.
        CoalmineError: The environment cannot be made.
    """
    if not source.is_file() or source.suffix != ".py":
        raise InputError(
            "is no pipeline source", field=str(source), fix="give a .py file in kfp 1.8's DSL"
        )
    with tempfile.TemporaryDirectory(prefix="coalmine-v1-") as folder:
        output = Path(folder) / "compiled.yaml"
        script = Path(__file__).with_name("_v1.py")
        # The script stands alone: nothing of Coalmine is in that environment.
        done = subprocess.run(
            [*_python(), str(script), str(source.resolve()), target, str(output), pipeline],
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
            cwd=folder,
        )
        if done.returncode == 0 and output.is_file():
            return output.read_text(encoding="utf-8")
    said = done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"]
    if "Traceback (most recent call last):" in said or done.returncode == EXPLAINED:
        raise InputError(
            f"does not compile with {PACKAGES[0]}: {said[-1]}",
            field=str(source),
            fix="name one with --pipeline" if done.returncode == EXPLAINED else "mend the source",
        )
    raise CoalmineError(
        f"no environment could be made for {' and '.join(PACKAGES[:2])}: {said[-1]}",
        fix="check that the package index answers",
    )


def _python() -> list[str]:
    uv = Path(sys.executable).with_name("uv")
    found = str(uv) if uv.is_file() else shutil.which("uv")
    if found is None:
        raise CoalmineError("uv is not installed", fix="pip install uv")
    named = [part for package in PACKAGES for part in ("--with", package)]
    alone = ["--isolated", "--no-project", "--quiet", "--python", sys.executable]
    return [found, "run", *alone, *named, "python", "-W", "ignore"]
