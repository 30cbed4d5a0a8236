"""A virtual environment as a layer, made of installed files, with nothing run in it.

What uv installs for another platform into a folder becomes ``/app/.venv``, where BentoML's own
images have it: its interpreter is a link to the base image's, its scripts start with that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from coalmine.images.base import Python
from coalmine.images.tar import Sink, TarWriter

__all__ = ["VENV", "with_interpreter", "without_places", "write_venv"]

VENV = "app/.venv"
"""Where it is in the image; without the first slash, as in a tar."""

_LEFT_OUT = {"__pycache__", ".lock", "uv_cache.json"}
_SHEBANG = re.compile(rb"#!\S*python\S*[^\n]*\n")
# What is written where the interpreter's path is too long for a shebang.
_LONG_SHEBANG = re.compile(rb"#!/bin/sh\n'''exec' [^\n]*python[^\n]*\n' '''\n")
_ACTIVATE = b"""# Sourced by a bento's entry point.
VIRTUAL_ENV=/app/.venv
PATH="$VIRTUAL_ENV/bin:$PATH"
export VIRTUAL_ENV PATH
"""


def write_venv(installed: Path, python: Python, out: Sink, *, mtime: int = 0) -> None:
    """Write the layer; the same installed files give the same bytes.

    Args:
        installed: What ``uv pip install --target`` made.
        python: The base image's interpreter.
        out: Where to.
        mtime: Every entry's time, in seconds since 1970.

    Raises:
        OSError: A file cannot be read.
    """
    archive = TarWriter(out, mtime=mtime)
    archive.folder("app", owner=0)
    archive.folder(VENV)
    home = python.program.rpartition("/")[0]
    configured = (
        f"home = {home}\ninclude-system-site-packages = false\nversion = {python.version}\n"
    )
    archive.content(f"{VENV}/pyvenv.cfg", configured.encode())
    _write_programs(archive, installed / "bin", python)
    packages = f"{VENV}/lib/python{python.version}/site-packages"
    for folder in (f"{VENV}/lib", f"{VENV}/lib/python{python.version}", packages):
        archive.folder(folder)
    for path, item in _walk(installed, ""):
        if path.partition("/")[0] != "bin":
            _write_item(archive, f"{packages}/{path}", item)
    archive.finish()


def with_interpreter(script: bytes) -> bytes:
    """Let a script of Python start with the environment's interpreter. Pure."""
    begin = _SHEBANG.match(script) or _LONG_SHEBANG.match(script)
    return b"#!/%s/bin/python\n%s" % (VENV.encode(), script[begin.end() :]) if begin else script


def without_places(record: bytes) -> bytes:
    """Leave out of a wheel's RECORD what differs from machine to machine. Pure."""
    lines = record.splitlines(keepends=True)
    return b"".join(sorted(line for line in lines if not _is_local(line.partition(b",")[0])))


def _is_local(path: bytes) -> bool:
    bare = re.sub(rb"^(?:\.\./)+", b"", path)
    return bare.startswith(b"bin/") or bare.endswith(b"uv_cache.json")


def _write_programs(archive: TarWriter, programs: Path, python: Python) -> None:
    archive.folder(f"{VENV}/bin")
    archive.content(f"{VENV}/bin/activate", _ACTIVATE)
    archive.link(f"{VENV}/bin/python", python.program)
    for name in ("python3", f"python{python.version}"):
        archive.link(f"{VENV}/bin/{name}", "python")
    for item in sorted(programs.iterdir()) if programs.is_dir() else ():
        if item.is_file() and item.name not in _LEFT_OUT:
            with item.open("rb") as file:
                is_script = file.read(2) == b"#!"
            path = f"{VENV}/bin/{item.name}"
            if is_script:
                archive.content(path, with_interpreter(item.read_bytes()), mode=0o755)
            else:
                archive.file(path, item, mode=0o755)


def _write_item(archive: TarWriter, path: str, item: Path) -> None:
    if item.is_dir():
        archive.folder(path)
    elif path.endswith(".dist-info/RECORD"):
        archive.content(path, without_places(item.read_bytes()))
    else:
        archive.file(path, item, mode=0o755 if item.stat().st_mode & 0o100 else 0o644)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as items:
        found = sorted((item.name, Path(item.path)) for item in items)
    for name, item in found:
        if name not in _LEFT_OUT:
            yield prefix + name, item
            if item.is_dir():
                yield from _walk(item, f"{prefix}{name}/")
