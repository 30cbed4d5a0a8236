"""A bento's Python packages, installed from wheels for a machine that is not this one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.platforms import Platform

__all__ = ["Package", "explain", "install", "installed_packages"]

_SECONDS = 1800
_NO_WHEEL = re.compile(r"([A-Za-z0-9._-]+)(?:==\S+)? has no (?:usable )?wheels")
_UNSOLVABLE = ("No solution found", "no wheels with a matching", "Couldn't parse requirement")
_SAID_CHARACTERS = 500


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One installed package, as its own metadata names it."""

    name: str
    version: str


def install(
    requirements: Path, into: Path, *, python: str, platform: Platform, working: Path
) -> None:
    """Install what a requirements file lists; only wheels, and nothing is run.

    Args:
        requirements: The bento's ``requirements.txt``.
        into: A folder that is made.
        python: Major and minor of the Python that will import it.
        platform: Where that will be.
        working: What relative paths in the file are relative to.

    Raises:
        InputError: A package cannot be had as a wheel, or the requirements contradict each other.
        CoalmineError: uv is not here, or it could not download.
    """
    command = [
        _uv(),
        *("pip", "install", "--quiet", "--no-progress", "--color", "never"),
        *("--target", str(into), "--requirements", str(requirements)),
        *("--python-platform", platform.wheels, "--python-version", python),
        *("--python", sys.executable, "--only-binary", ":all:"),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=working,
            env={**os.environ, "UV_NO_CONFIG": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CoalmineError(f"uv took over {_SECONDS} s", fix="see the package index") from None
    if done.returncode:
        raise explain(done.stderr, f"{platform}, Python {python}")


def explain(said: str, where: str) -> CoalmineError:
    """Say what uv's words mean. Pure."""
    text = " ".join(said.split())
    if found := _NO_WHEEL.search(text):
        return InputError(
            f"{found.group(1)} cannot be installed for {where}: it has no wheel for that",
            field="context",
            fix="take a version that has one, or build the image with --builder buildah",
        )
    if any(words in text for words in _UNSOLVABLE):
        return InputError(
            f"the bento's packages cannot be installed for {where}: {text[:_SAID_CHARACTERS]}",
            field="context",
            fix="mend the bento's requirements and build it again",
        )
    return CoalmineError(
        f"uv could not install the bento's packages: {text[-_SAID_CHARACTERS:]}",
        fix="see that the package index can be reached (UV_INDEX_URL names another)",
    )


def installed_packages(folder: Path) -> tuple[Package, ...]:
    """List what was installed into a folder, by the names of its ``.dist-info`` folders."""
    names = (item.name.removesuffix(".dist-info") for item in folder.glob("*.dist-info"))
    split = (name.rpartition("-") for name in names)
    return tuple(sorted(Package(name, version) for name, _, version in split if name))


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if found is None:
        raise CoalmineError(
            "a layer of Python packages is made by uv, which is not here",
            fix='install it with: pip install "coalmine[bento]"',
        )
    return found
