"""The layer of a bento's Python packages: made once for the same requirements, then found."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coalmine._base.files import write_atomic
from coalmine.images.base import Python
from coalmine.images.compressed import Stored
from coalmine.images.config import Blob, canonical
from coalmine.images.install import Package, install, installed_packages
from coalmine.images.layout import OciLayout
from coalmine.images.platforms import Platform
from coalmine.images.venv import write_venv
from coalmine.registry.digest import digest_of

__all__ = ["Dependencies", "dependencies"]

_FORMAT = 1
_REQUIREMENTS = "env/python/requirements.txt"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """A layer of packages, and what is in it."""

    layer: Stored
    packages: tuple[Package, ...]


def dependencies(
    layout: OciLayout,
    context: Path,
    python: Python,
    platform: Platform,
    *,
    compression: str,
    mtime: int,
) -> Dependencies | None:
    """Have a bento's packages as a layer; None if it lists none.

    The same requirements for the same Python and platform are installed once. What they do not
    pin is what it was then.

    Args:
        layout: Where the layer goes; it is held for writing.
        context: The bento.
        python: The interpreter of the base image.
        platform: Where it will run.
        compression: How to pack it.
        mtime: Its files' time, in seconds since 1970.

    Raises:
        InputError: A package cannot be had as a wheel.
        CoalmineError: The packages could not be downloaded.
        OSError: It cannot be written.
    """
    requirements = context / _REQUIREMENTS
    if not requirements.is_file() or not requirements.read_bytes().strip():
        return None
    note = layout.notes / f"packages-{_key(context, python, platform, compression, mtime)}.json"
    if known := _known(layout, note):
        return known
    working = context / "src" if (context / "src").is_dir() else requirements.parent
    with tempfile.TemporaryDirectory(dir=layout.temporary) as folder:
        into = Path(folder) / "packages"
        install(requirements, into, python=python.version, platform=platform, working=working)
        layer = layout.layers.add(
            lambda out: write_venv(into, python, out, mtime=mtime), compression
        )
        packages = installed_packages(into)
        shutil.rmtree(into)
    write_atomic(note, _written(layer, packages))
    return Dependencies(layer, packages)


def _key(context: Path, python: Python, platform: Platform, compression: str, mtime: int) -> str:
    env = context / "env" / "python"
    files = {
        str(path.relative_to(env)): digest_of(path.read_bytes())
        for path in sorted(env.rglob("*"))
        if path.is_file()
    }
    parts = [_FORMAT, files, python.version, python.program, str(platform), compression, mtime]
    return digest_of(canonical(parts)).removeprefix("sha256:")


def _known(layout: OciLayout, note: Path) -> Dependencies | None:
    try:
        noted = json.loads(note.read_text())
        blob = Blob(noted["digest"], noted["size"])
        packages = tuple(Package(*pair) for pair in noted["packages"])
        layer = Stored(blob, noted["diff_id"], noted["media_type"], here=True)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return Dependencies(layer, packages) if layout.layers.is_whole(layer) else None


def _written(layer: Stored, packages: tuple[Package, ...]) -> bytes:
    return canonical(
        {
            "digest": layer.blob.digest,
            "size": layer.blob.size,
            "diff_id": layer.diff_id,
            "media_type": layer.media_type,
            "packages": [[package.name, package.version] for package in packages],
        }
    )
