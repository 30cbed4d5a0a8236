"""What a build context says about itself: its files, and its ``bento.yaml``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coalmine._base.boundedyaml import read_bounded
from coalmine._base.errors import InputError
from coalmine.images.needs import unmet_needs
from coalmine.images.plan import Entry, Kind, stays_inside

__all__ = ["BentoFacts", "read_facts", "scan"]


@dataclass(frozen=True, slots=True)
class BentoFacts:
    """The part of ``bento.yaml`` that an image needs.

    Attributes:
        name: The bento's name.
        version: Its version.
        created: When it was built; UTC.
        env: Variables that the bento asks for, in its order.
        labels: What the bento says of itself, sorted.
        python: The Python that it wants, major and minor; empty if it does not say.
        base_image: The image that it wants to be built upon; empty if it does not say.
        needs: What it asks for that no image of plain layers can give.
    """

    name: str
    version: str
    created: datetime
    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    python: str = ""
    base_image: str = ""
    needs: tuple[str, ...] = ()


def read_facts(context: Path) -> BentoFacts:
    """Read a context's ``bento.yaml``.

    Raises:
        InputError: The folder or the file is missing, or the file is not what BentoML writes.
    """
    try:
        return _facts(read_bounded(context / "bento.yaml"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{context} is no bento: it has no bento.yaml",
            field="context",
            fix="give the context that the retrieve step writes",
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{context}/bento.yaml is not what BentoML writes: {error!r}",
            field="context",
            fix="build the bento again with: bentoml build",
        ) from None


def scan(context: Path) -> tuple[Entry, ...]:
    """List everything in a context, sorted by path.

    Raises:
        InputError: It has a link that leads out of it, or something that is neither file, folder
            nor link.
    """
    return tuple(sorted(_walk(context, "")))


def _facts(raw: Any) -> BentoFacts:  # noqa: ANN401 - as YAML gives it
    created = raw["creation_time"]
    moment = created if isinstance(created, datetime) else datetime.fromisoformat(created)
    env = tuple((str(item["name"]), str(item.get("value") or "")) for item in raw.get("envs") or ())
    image, docker = raw.get("image") or {}, raw.get("docker") or {}
    python = str(image.get("python_version") or docker.get("python_version") or "")
    return BentoFacts(
        str(raw["name"]),
        str(raw["version"]),
        _utc(moment),
        env,
        labels=tuple(sorted((str(k), str(v)) for k, v in (raw.get("labels") or {}).items())),
        python=".".join(python.split(".")[:2]),
        base_image=str(image.get("base_image") or docker.get("base_image") or ""),
        needs=unmet_needs(raw),
    )


def _utc(moment: datetime) -> datetime:
    """YAML gives a time without its zone if it is UTC and was not quoted."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    with os.scandir(folder) as items:
        found = tuple(items)
    for item in found:
        path = prefix + item.name
        if item.is_symlink():
            yield _link(path, Path(item.path))
        elif item.is_dir():
            yield Entry(path, Kind.FOLDER)
            yield from _walk(Path(item.path), f"{path}/")
        elif item.is_file():
            yield Entry(path, executable=bool(item.stat().st_mode & 0o100))
        else:
            raise InputError(
                f"{item.path} is neither a file nor a folder", fix="take it out of the bento"
            )


def _link(path: str, at: Path) -> Entry:
    target = str(at.readlink())
    if not stays_inside(path, target):
        raise InputError(
            f"{path} is a link to {target}, which leads out of the bento",
            fix="build the bento with the file itself in place of the link",
        )
    return Entry(path, Kind.LINK, target=target)
