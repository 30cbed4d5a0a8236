"""What every full build of a bento's own Dockerfile has in common."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.bento import BentoFacts, read_facts, scan
from coalmine.images.reference import parse_target
from coalmine.images.secrets import refuse_secrets
from coalmine.registry.address import RemoteReference

__all__ = ["DOCKERFILE", "buildable", "find_tool", "in_registry", "run_tool"]

DOCKERFILE = "env/docker/Dockerfile"
"""Where BentoML has it in a bento."""

_SECONDS = 3600
_SAID_LINES = 8


def buildable(context: Path) -> BentoFacts:
    """Read a bento that is to be built in full.

    Raises:
        InputError: It is no bento, has no Dockerfile, or holds secrets.
    """
    facts = read_facts(context)
    refuse_secrets(scan(context), context)
    if not (context / DOCKERFILE).is_file():
        raise InputError(
            f"{facts.name}:{facts.version} has no {DOCKERFILE}",
            field="context",
            fix="build the bento again with: bentoml build",
        )
    return facts


def in_registry(repository: str, builder: str) -> RemoteReference:
    """Read where an image goes, for a builder that writes to registries alone.

    Raises:
        InputError: It is no repository of a registry.
    """
    target = parse_target(repository)
    if isinstance(target, Path):
        raise InputError(
            f"{builder} builds into a registry, and {repository} is a folder",
            field="repository",
            fix="give host/path of a registry, or use --builder buildah",
        )
    return target


def find_tool(*names: str, fix: str) -> str:
    """Find the first of some programs that is here.

    Raises:
        CoalmineError: None is.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise CoalmineError(f"{names[0]} is not here", fix=fix)
    return found


def run_tool(
    name: str,
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    fix: Callable[[], str] = lambda: "",
) -> str:
    """Run a builder to its end.

    Args:
        name: What it is called in errors.
        words: The program and its arguments.
        environ: Its whole environment.
        fix: Says what to do if it fails.

    Returns:
        What it said on its standard output.

    Raises:
        CoalmineError: It failed, or took over an hour; its last words are in the error.
    """
    try:
        done = subprocess.run(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CoalmineError(f"{name} took over {_SECONDS} s") from None
    if done.returncode:
        raise CoalmineError(f"{name} failed: {_last_words(done.stderr)}", fix=fix())
    return done.stdout


def _last_words(said: str) -> str:
    lines = said.strip().splitlines()
    # Programs in Go have the trace of a fall behind its reason, and how they are used behind an
    # error that has nothing to do with that.
    ends = [n for n, line in enumerate(lines, 1) if line.startswith(("panic: ", "fatal error: "))]
    ends += [n for n, line in enumerate(lines) if n and line == "Usage:"]
    lines = lines[: min(ends, default=len(lines))]
    return "; ".join(lines[-_SAID_LINES:])
