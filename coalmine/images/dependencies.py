"""The layer of a bento's Python packages: made once for the same requirements, then found."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.images.base import Python
from coalmine.images.compressed import Stored
from coalmine.images.config import Blob, canonical
from coalmine.images.install import Package, install, installed_packages, is_locked, lock
from coalmine.images.layout import OciLayout
from coalmine.images.platforms import Platform
from coalmine.images.requirements import check_requirements
from coalmine.images.tar import Sink
from coalmine.images.venv import write_venv
from coalmine.registry.digest import digest_of

__all__ = ["Dependencies", "Installed", "Wanted", "installed", "packages_layer"]

_FORMAT = 2
_LOCK_SECONDS = 1800
_REQUIREMENTS = "env/python/requirements.txt"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bento's packages, for one kind of machine.

    Attributes:
        context: The bento.
        python: The interpreter of the base image.
        platform: Where it will run.
        compression: How to pack the layer.
        mtime: Its files' time, in seconds since 1970.
        created: When the bento was built; what is not pinned is what it was then.
    """

    context: Path
    python: Python
    platform: Platform
    compression: str
    mtime: int
    created: datetime

    @property
    def requirements(self) -> Path:
        """The list of them."""
        return self.context / _REQUIREMENTS


@dataclass(frozen=True, slots=True)
class Installed:
    """Packages at hand: a layer of them is there, or they are in a folder.

    Attributes:
        wanted: Which.
        note: What tells of the layer, once it is there.
        folder: Where they are installed, if there was no layer.
    """

    wanted: Wanted
    note: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Dependencies:
    """A layer of packages, and what is in it."""

    layer: Stored
    packages: tuple[Package, ...]


@contextmanager
def installed(layout: OciLayout, wanted: Wanted) -> Iterator[Installed | None]:
    """Have a bento's packages at hand until the end of the block; None if it lists none.

    The same requirements for the same Python and platform are installed once, however many want
    them at once; the layout is not held for writing meanwhile.

    Args:
        layout: Where their layer is, or will be; it is in use.
        wanted: Which.

    Raises:
        InputError: A package cannot be had as a wheel, or the list of them is refused.
        CoalmineError: The packages could not be downloaded, or another build installs for too long.
        OSError: They cannot be written.
    """
    if not wanted.requirements.is_file() or not wanted.requirements.read_bytes().strip():
        yield None
        return
    check_requirements(wanted.requirements.read_bytes())
    locked = _locked(layout, wanted)
    key = _key(wanted, locked)
    at = Installed(
        wanted,
        layout.notes / f"packages-{key}.json",
        layout.installs / key / uuid4().hex / "packages",
    )
    if _known(layout, at.note):
        yield at
        return
    with _alone(layout.installs / f"{key}.lock"):
        # What a killed one left; its uv may still write there, and nobody else does.
        shutil.rmtree(layout.installs / key, ignore_errors=True)
        try:
            if not _known(layout, at.note):
                _install(at, locked)
            yield at
        finally:
            shutil.rmtree(layout.installs / key, ignore_errors=True)


def packages_layer(layout: OciLayout, at: Installed) -> Dependencies:
    """Have the layer of packages that are at hand; the layout is held for writing.

    Raises:
        OSError: It cannot be written.
    """
    if known := _known(layout, at.note):
        return known
    wanted = at.wanted

    def write(out: Sink) -> None:
        write_venv(at.folder, wanted.python, out, mtime=wanted.mtime)

    layer = layout.layers.add(write, wanted.compression)
    packages = installed_packages(at.folder)
    write_atomic(at.note, _written(layer, packages))
    return Dependencies(layer, packages)


def _locked(layout: OciLayout, wanted: Wanted) -> str:
    """Resolve what the requirements leave open, once a bento; empty if they leave nothing open."""
    if is_locked(wanted.requirements):
        return ""
    note = layout.notes / f"lock-{_key(wanted, wanted.created.isoformat())}.txt"
    if note.is_file():
        os.utime(note)
        return note.read_text()
    locked = lock(
        wanted.requirements,
        created=wanted.created,
        python=wanted.python.version,
        platform=wanted.platform,
        working=_working(wanted.context),
    )
    if locked:
        write_atomic(note, locked)
    return locked


def _install(at: Installed, locked: str) -> None:
    at.folder.parent.mkdir(parents=True)
    constraints = at.folder.with_name("constraints.txt")
    constraints.write_text(locked)
    wanted = at.wanted
    install(
        wanted.requirements,
        at.folder,
        python=wanted.python.version,
        platform=wanted.platform,
        working=_working(wanted.context),
        constraints=constraints,
    )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only builders need it

    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise CoalmineError(
            f"another build has installed the same packages for {_LOCK_SECONDS} s",
            fix="wait for it to end, or stop it",
        ) from None


def _working(context: Path) -> Path:
    """Say what relative paths in the requirements are relative to."""
    return context / "src" if (context / "src").is_dir() else context / "env" / "python"


def _key(wanted: Wanted, locked: str) -> str:
    env = wanted.requirements.parent
    files = {
        str(path.relative_to(env)): digest_of(path.read_bytes())
        for path in sorted(env.rglob("*"))
        if path.is_file()
    }
    python = [wanted.python.version, wanted.python.program]
    about = [*python, str(wanted.platform), wanted.compression, wanted.mtime, locked]
    parts = [_FORMAT, files, *about]
    return digest_of(canonical(parts)).removeprefix("sha256:")


def _known(layout: OciLayout, note: Path) -> Dependencies | None:
    try:
        noted = json.loads(note.read_text())
        blob = Blob(noted["digest"], noted["size"])
        packages = tuple(Package(*pair) for pair in noted["packages"])
        layer = Stored(blob, noted["diff_id"], noted["media_type"], here=True)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not layout.layers.is_whole(layer):
        return None
    os.utime(note)  # the clean-up goes by when it was last used
    return Dependencies(layer, packages)


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
