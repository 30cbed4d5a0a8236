"""What lies beneath a bento's own layers: a base image, and packages that are to be installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from coalmine.images.base import BaseImage, check_python, find_python
from coalmine.images.bases import Bases
from coalmine.images.bento import BentoFacts
from coalmine.images.dependencies import Installed, Wanted, installed, packages_layer
from coalmine.images.importing import check_import
from coalmine.images.layout import OciLayout
from coalmine.images.models import EMBEDDED, embedded_base
from coalmine.images.own_tree import own_tree, unpacked_packages
from coalmine.images.platforms import Platform
from coalmine.images.wishes import Wishes

__all__ = ["Beneath"]


class Beneath:
    """Finds and installs what an image is built upon; others may build meanwhile.

    Args:
        wishes: How the image is to be made.
        facts: The bento.
        context: Its folder.
        layout: Where the image goes, in use.
    """

    def __init__(self, wishes: Wishes, facts: BentoFacts, context: Path, layout: OciLayout) -> None:
        self._wishes, self._facts = wishes, facts
        self._context, self._layout = context, layout
        self.bases = Bases(wishes.registry, layout.blobs)

    def find_bases(self) -> tuple[BaseImage | None, ...]:
        """Find a base image for each platform; None where there is to be none.

        Raises:
            InputError: There is no such image, or not for every platform.
            CoalmineError: Its registry cannot be asked.
        """
        name, platforms = self._wishes.base, self._wishes.platforms
        if not name:
            return (None,) * len(platforms)
        with self._layout.writing():
            found = embedded_base(self._layout.blobs) if name == EMBEDDED else name
            return self.bases.find(found, platforms)

    @contextmanager
    def installed(self, bases: tuple[BaseImage | None, ...]) -> Iterator[list[Installed | None]]:
        """Have each platform's packages at hand until the end of the block.

        Raises:
            InputError: The base has no Python that fits, or a package cannot be installed.
            CoalmineError: The packages could not be downloaded.
        """
        with ExitStack() as folders:
            yield [
                self._packages_for(platform, base, folders) if base else None
                for platform, base in zip(self._wishes.platforms, bases, strict=True)
            ]

    def _packages_for(
        self, platform: Platform, base: BaseImage, folders: ExitStack
    ) -> Installed | None:
        if not self._wishes.kind.runs:
            return None
        python = find_python(base, self._wishes.base_python)
        check_python(python, self._facts.python, base.name)
        wanted = Wanted(
            self._context,
            python,
            platform,
            self._wishes.compression,
            self._wishes.epoch or 0,
            self._facts.created,
        )
        return folders.enter_context(installed(self._layout, wanted))

    def check_import(self, installed: list[Installed | None]) -> None:
        """Import the service, if that is asked for, with the packages that it will have.

        Raises:
            InputError: It cannot be imported, or the image is for another machine than this.
            CoalmineError: It takes too long.
        """
        seconds = self._wishes.import_seconds
        if not seconds:
            return
        if not self._wishes.base:
            check_import(self._context, seconds=seconds)
            return
        own = own_tree(installed)
        with self._layout.writing():
            layer = packages_layer(self._layout, own).layer
        with unpacked_packages(self._layout, own, layer) as packages:
            check_import(self._context, seconds=seconds, packages=packages)
