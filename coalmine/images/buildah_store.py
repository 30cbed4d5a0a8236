"""buildah's own store: what it keeps of builds, so that the next one need not run all again.

Beside it, in ``.coalmine``: the lock of those who use it, and when each image was last built.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coalmine._base.files import write_atomic
from coalmine.images.dockerfile import find_tool, run_tool
from coalmine.images.layout import exclusively, shared
from coalmine.images.rootless import lacking, this_machine

__all__ = ["BuildahStore", "outdated"]

_OURS = "localhost/coalmine/"


@dataclass(frozen=True, slots=True)
class BuildahStore:
    """A store that buildah keeps in a folder.

    Attributes:
        folder: Where it is; made when something is built.
    """

    folder: Path

    def run(self, *arguments: str) -> str:
        """Run buildah on it, and give what it says.

        Raises:
            CoalmineError: buildah is not here, or failed; its last words are in the error.
        """
        buildah = find_tool(
            "buildah", fix="install it (apt install buildah), or use --builder layered"
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        places = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        words = [buildah, *places, "--storage-driver", "vfs", *arguments]
        environ = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        return run_tool(f"buildah {arguments[0]}", words, environ, fix=_what_is_lacking)

    @contextmanager
    def building(self, name: str) -> Iterator[None]:
        """Keep an image, and what it is made of, from being cleaned away; many may do so at once.

        Args:
            name: What the image is called here; it is taken down as used now.
        """
        with shared(self._lock):
            write_atomic(self._note(name), name)
            yield

    def clean(self, *, before: float, dry_run: bool = False) -> tuple[str, ...]:
        """Take away the images that nobody has built for a while, and what only they need.

        If none is left, what they were built upon goes as well. What a killed build left half-done
        goes in any case.

        Args:
            before: When an image was last built to be kept, in seconds since 1970.
            dry_run: Take nothing away.

        Returns:
            The images that went, or would go.

        Raises:
            InUseError: A build uses the store.
            CoalmineError: buildah is not here, or failed.
        """
        if not (self.folder / "root").is_dir():
            return ()
        with exclusively(self._lock):
            built = {name: self._last_built(name) for name in self._names()}
            old = outdated(built, before)
            if not dry_run:
                self._remove(old, everything=len(old) == len(built))
            return old

    def _remove(self, old: tuple[str, ...], *, everything: bool) -> None:
        self.run("rm", "--all")
        if everything:
            self.run("rmi", "--all", "--force")
        elif old:
            self.run("rmi", *old)
        for name in old:
            self._note(name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        """List the images that we have built; others are what they were built upon."""
        images = json.loads(self.run("images", "--json")) or []
        names = [name for image in images for name in image["names"] or ()]
        return sorted(name for name in names if name.startswith(_OURS))

    @property
    def _lock(self) -> Path:
        return self.folder / ".coalmine" / "use"

    def _note(self, name: str) -> Path:
        key = hashlib.sha256(name.encode()).hexdigest()
        return self.folder / ".coalmine" / "built" / key

    def _last_built(self, name: str) -> float:
        try:
            return self._note(name).stat().st_mtime
        except FileNotFoundError:
            return 0.0


def outdated(built: Mapping[str, float], before: float) -> tuple[str, ...]:
    """Choose the images that were last built before a moment. Pure."""
    return tuple(name for name, at in built.items() if at < before)


def _what_is_lacking() -> str:
    found = lacking(this_machine())
    return f"to run what a Dockerfile says, {'; '.join(found)}" if found else ""
