"""Find Prometheus, or unpack Debian's package without being root.

``python -m coalmine.stack.prometheus_binary`` does it ahead of `coalmine up`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

import coalmine
from coalmine._base.errors import CoalmineError, InputError

__all__ = ["VARIABLE", "default_cache", "ensure", "find"]

VARIABLE = "COALMINE_PROMETHEUS_BIN"
APT_SECONDS = 300
GET_ONE = (
    "install Prometheus so that it is on PATH (https://prometheus.io/download/), "
    f"or name its file in {VARIABLE}"
)


def default_cache() -> Path:
    """Where a downloaded one is kept: in this package's checkout, else in the user's cache.

    The working folder does not count: `coalmine up` runs anywhere.
    """
    checkout = Path(coalmine.__file__).parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".coalmine" / "cache" / "prometheus"
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # As its specification says: a relative path is to be ignored.
    users = named if named.is_absolute() else Path.home() / ".cache"
    return users / "coalmine" / "prometheus"


def find(cache: Path) -> Path | None:
    """Look in ``COALMINE_PROMETHEUS_BIN``, then on PATH, then in the cache folder.

    Raises:
        InputError: The variable names something that cannot be run.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise InputError(
                f"{named} is no program", field=VARIABLE, fix="name the Prometheus binary"
            )
        return Path(named)
    on_path = shutil.which("prometheus")
    cached = cache / "usr" / "bin" / "prometheus"
    return Path(on_path) if on_path else (cached if os.access(cached, os.X_OK) else None)


def ensure(cache: Path) -> Path:
    """Find Prometheus, or download Debian's or Ubuntu's package into the cache folder.

    Raises:
        CoalmineError: It is not here and cannot be had this way; the fix says how else.
    """
    if found := find(cache):
        return found
    cache.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.parent / "prometheus.lock"):
        if not find(cache):
            _download(cache)
    return cache / "usr" / "bin" / "prometheus"


def _download(cache: Path) -> None:
    missing = [tool for tool in ("apt-get", "dpkg") if not shutil.which(tool)]
    if missing:
        raise CoalmineError(
            f"Prometheus is not here, and without {' and '.join(missing)} it cannot be fetched "
            "from Debian",
            fix=GET_ONE,
        )
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=".prometheus.") as work:
        folder = Path(work)
        package = _fetch_package(folder)
        _run(["dpkg", "-x", str(package), str(folder / "tree")], folder)
        if not (folder / "tree" / "usr" / "bin" / "prometheus").is_file():
            raise CoalmineError(f"{package.name} holds no Prometheus", fix=GET_ONE)
        shutil.rmtree(cache, ignore_errors=True)
        (folder / "tree").rename(cache)


def _fetch_package(folder: Path) -> Path:
    # Its own lists and cache: neither root nor the machine's lists, which may be empty, are needed.
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    options = {
        "Dir::State": folder / "state",
        "Dir::Cache": folder / "cache",
        "Dir::State::status": "/var/lib/dpkg/status",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"], folder)
    _run([*apt, "download", "prometheus"], folder)
    return next(folder.glob("prometheus_*.deb"))


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=APT_SECONDS
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CoalmineError(
            f"Prometheus cannot be fetched, {command[0]} failed: {last}", fix=GET_ONE
        ) from None
    except subprocess.TimeoutExpired:
        raise CoalmineError(
            f"Prometheus cannot be fetched, {command[0]} took over {APT_SECONDS} s", fix=GET_ONE
        ) from None


def _main() -> None:
    try:
        ensure(default_cache())
    except CoalmineError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    _main()
