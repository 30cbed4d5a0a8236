"""The three bentos that the demo releases."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic

__all__ = ["DEMO_NAME", "DEMO_VERSIONS", "build_demo_bentos"]

DEMO_NAME = "iris_classifier"
DEMO_VERSIONS = ("v1", "v2", "v3")

_IRIS = Path(__file__).parent / "iris"
_MARKER = ".coalmine-demo"
_SECONDS = 180


def build_demo_bentos(bento_home: Path) -> tuple[str, str, str]:
    """Train the demo's models and save them as bentos, once.

    v1 is a modest model, v2 a better one, v3 raises on about 30 % of its requests.

    Args:
        bento_home: A BENTOML_HOME of its own; made if it is not there.

    Returns:
        The versions of ``iris_classifier``, in the order of their release.

    Raises:
        CoalmineError: scikit-learn or BentoML is missing, or they failed.
    """
    home = bento_home.absolute()
    marker, made_of = home / _MARKER, _fingerprint()
    if not marker.is_file() or marker.read_text() != made_of:
        _clear(home)
        _train(home)
        write_atomic(marker, made_of)
    return DEMO_VERSIONS


def _fingerprint() -> str:
    """Name what the bentos are made of: with other sources or packages they are made anew."""
    total = hashlib.sha256()
    for source in sorted(_IRIS.rglob("*.py")):
        total.update(source.read_bytes())
    for package in ("bentoml", "scikit-learn"):
        total.update(_version(package).encode())
    return total.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise CoalmineError(
            f"the demo needs {package}, which is not installed",
            fix='install it with: pip install "coalmine[all]"',
        ) from None


def _clear(home: Path) -> None:
    """Take away what an earlier or interrupted training left."""
    (home / _MARKER).unlink(missing_ok=True)
    for kind, name in (("bentos", DEMO_NAME), ("models", "iris_model")):
        shutil.rmtree(home / kind / name, ignore_errors=True)


def _train(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="coalmine-iris-") as folder:
        source = Path(folder) / "src"  # apart from the home: BentoML would copy it into itself
        shutil.copytree(_IRIS / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [sys.executable, "-m", "coalmine.demo.iris.train", str(source)],
            env={**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        raise CoalmineError(
            f"the demo's models could not be trained: {last}", fix="run: coalmine doctor"
        )
