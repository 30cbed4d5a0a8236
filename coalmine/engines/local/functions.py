"""Python function components as processes of this machine.

The KFP SDK wraps such a function into a shell line that installs packages and one that runs it. The
function runs with the Python of this installation, which holds kfp. Where the component names
packages of its own, they are installed into an environment that is kept for the next run, and never
into this installation. ``python -m coalmine.engines.local.functions OPTION... -- COMMAND`` makes
that environment and runs a command in it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from coalmine._base.errors import InputError

__all__ = ["function_command", "is_function", "packages_of"]

MODULE = "kfp.dsl.executor_main"
PYTHON = re.compile(r"\bpython3\b")
OWN = re.compile(r"(kfp([=<>~! \[].*)?|--no-deps|typing-extensions.*)")
"""What the SDK asks for on its own account; this installation holds it."""
QUIET = {"--quiet", "--no-warn-script-location"}
PLACE = "COALMINE_FUNCTION_PYTHON"
TIDY = "program_path=; trap 'rm -rf \"$program_path\"' EXIT\n"
"""The SDK's line puts the function into a folder that it makes with mktemp, and names so. A
container takes it away; a machine keeps it."""


def is_function(argv: Sequence[str]) -> bool:
    """Tell whether a command is the SDK's wrapper around a Python function."""
    return argv[:1] == ["sh"] and any(MODULE in text for text in argv)


def function_command(argv: Sequence[str]) -> list[str]:
    """Run a Python function component here.

    Args:
        argv: The command as it would be in the container.

    Raises:
        InputError: kfp is not installed here.
    """
    if importlib.util.find_spec("kfp") is None:
        raise InputError(
            "a Python function component needs the KFP SDK, which is not installed",
            fix="pip install 'coalmine[kfp]'",
        )
    start = next(index for index, text in enumerate(argv) if MODULE in text)
    packages = packages_of(argv[2]) if start > 2 else []  # noqa: PLR2004 - sh -c TEXT sh -ec
    program = PYTHON.sub(f'"${{{PLACE}}}"', argv[start])
    command = ["sh", "-ec", TIDY + program, *argv[start + 1 :]]
    if not packages:
        return ["env", f"{PLACE}={sys.executable}", *command]
    return [sys.executable, "-m", "coalmine.engines.local.functions", *packages, "--", *command]


def packages_of(installer: str) -> list[str]:
    """Find what a component wants to be installed: pip's options and requirements, in order.

    Args:
        installer: The shell text that the SDK writes before the function.
    """
    found: list[str] = []
    for part in installer.split("&&"):
        if "pip install" not in part:
            continue
        words = shlex.split(part.partition("pip install")[2])
        words = [word for word in words if word not in QUIET]
        if not all(OWN.fullmatch(word) for word in words):
            found += [word for word in words if not OWN.fullmatch(word) or word == "--no-deps"]
    return found


def _main(folder: Path, packages: Sequence[str], command: Sequence[str]) -> None:
    key = json.dumps([sys.version, sys.prefix, list(packages)])
    place = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not (place / "complete").exists():
            _install(place, packages)
    os.environ[PLACE] = str(place / "bin" / "python")
    os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted


def _install(place: Path, packages: Sequence[str]) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        sys.exit("uv is needed to install a component's packages; pip install uv")
    shutil.rmtree(place, ignore_errors=True)
    python = place / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
    site = next(place.glob("lib/python*/site-packages"))
    (site / "coalmine.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    (place / "complete").touch()


if __name__ == "__main__":
    behind = sys.argv.index("--")
    state = Path(os.environ["COALMINE_STATE"])
    _main(state / "environments", sys.argv[1:behind], sys.argv[behind + 1 :])
