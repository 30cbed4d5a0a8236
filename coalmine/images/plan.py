"""Which file goes into which layer. Pure: a list of files in, a list of layers out.

Layers go from what changes least to what changes most: the code, each model by itself, and the
bento's description, which names the version. A base and a dependency layer will slot in beneath.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

__all__ = ["BENTOML_UID", "BENTO_PATH", "Entry", "Kind", "Layer", "plan_layers", "stays_inside"]

BENTO_PATH = "home/bentoml/bento"
"""Where BentoML's own images have the bento; without the first slash, as in a tar."""

BENTOML_UID = 1034
"""User and group id of ``bentoml`` in BentoML's own images."""

_ENTRYPOINT = "env/docker/entrypoint.sh"
_MODEL_DEPTH = 3  # models/NAME/VERSION


class Kind(StrEnum):
    """What a path is."""

    FOLDER = "folder"
    FILE = "file"
    LINK = "link"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One path of a bento.

    Attributes:
        path: Relative to the bento, with forward slashes.
        kind: What it is.
        executable: Whether its owner may run it; the only part of its mode that counts.
        target: Where it points to, for a link.
    """

    path: str
    kind: Kind = Kind.FILE
    executable: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the image.

    Attributes:
        title: What it holds, for people: ``code``, ``model iris:v1`` or ``bento``.
        entries: Sorted by path; every entry's folders are among them and come before it.
        root: Where they are in the image; without the first slash.
        below: The folder of the bento that becomes the root; empty means the bento itself.
        owner: User and group id of all of them.
    """

    title: str
    entries: tuple[Entry, ...]
    root: str = BENTO_PATH
    below: str = ""
    owner: int = BENTOML_UID

    def file_in(self, context: Path, entry: Entry) -> Path:
        """Say where an entry's content is."""
        return context / self.below / entry.path


def plan_layers(entries: Iterable[Entry]) -> tuple[Layer, ...]:
    """Deal a bento's entries out to layers; the order in which they come does not count."""
    parts: dict[str, set[Entry]] = {}
    for entry in entries:
        parts.setdefault(_title(entry), set()).add(_as_in_image(entry))
    titled = sorted(parts.items(), key=_rank)
    return tuple(Layer(title, _with_folders(part)) for title, part in titled)


def stays_inside(path: str, target: str) -> bool:
    """Tell whether a link at a path points into its own tree, whatever else is a link there.

    Steps up may only come first: ``a/..`` leads elsewhere than it seems if ``a`` is a link.
    """
    steps = [step for step in target.split("/") if step not in {"", "."}]
    ups = next((i for i, step in enumerate(steps) if step != ".."), len(steps))
    return (
        bool(steps)
        and not target.startswith("/")
        and ".." not in steps[ups:]
        and ups < len(PurePosixPath(path).parts)
    )


def _title(entry: Entry) -> str:
    parts = PurePosixPath(entry.path).parts
    deep = len(parts) > _MODEL_DEPTH or (len(parts) == _MODEL_DEPTH and entry.kind is Kind.FOLDER)
    if deep and parts[0] == "models":
        return f"model {parts[1]}:{parts[2]}"
    return "code" if parts[0] == "src" else "bento"


def _rank(titled: tuple[str, set[Entry]]) -> tuple[int, str]:
    title, _ = titled
    return ({"code": 0, "bento": 2}.get(title, 1), title)


def _as_in_image(entry: Entry) -> Entry:
    """BentoML's Dockerfile makes the entry point executable; the file itself is not."""
    if entry.path == _ENTRYPOINT:
        return Entry(entry.path, entry.kind, executable=True)
    return entry


def _with_folders(entries: set[Entry]) -> tuple[Entry, ...]:
    folders = {
        str(parent)
        for entry in entries
        for parent in PurePosixPath(entry.path).parents
        if str(parent) != "."
    }
    others = {entry for entry in entries if entry.kind is not Kind.FOLDER}
    folders |= {entry.path for entry in entries if entry.kind is Kind.FOLDER}
    return tuple(sorted(others | {Entry(path, Kind.FOLDER) for path in folders}))
