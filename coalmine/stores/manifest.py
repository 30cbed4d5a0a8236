"""What a bento's ``bento.yaml`` says of the bento and of the models it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from coalmine._base.boundedyaml import read_bounded
from coalmine._base.errors import InputError

__all__ = ["Manifest", "Model", "check_bento", "read_created", "read_manifest"]

_MOST_MODELS = 1000


@dataclass(frozen=True, slots=True, order=True)
class Model:
    """A model in BentoML's own model store."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What to fetch with a bento.

    Attributes:
        name: The bento's name.
        version: Its version.
        models: The models that a BentoML store holds; others are loaded from elsewhere at run time.
    """

    name: str
    version: str
    models: tuple[Model, ...]


def read_manifest(bento: Path) -> Manifest:
    """Read a bento folder's ``bento.yaml``.

    Raises:
        InputError: It is missing or is not what BentoML writes.
    """
    try:
        return _manifest(read_bounded(bento / "bento.yaml"))
    except FileNotFoundError:
        raise _corrupt(bento, "it has no bento.yaml") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _corrupt(bento, f"its bento.yaml is not what BentoML writes ({error!r})") from None


def check_bento(bento: Path, tag: str, *, models: Path) -> Manifest:
    """See that a bento is whole and the one that is meant.

    Args:
        bento: Its folder.
        tag: ``name:version``.
        models: The folder that has its models, as ``NAME/VERSION``.

    Returns:
        Its manifest.

    Raises:
        InputError: Its ``bento.yaml`` is not what BentoML writes, or names another bento, or its
            source or a model is missing.
    """
    manifest = read_manifest(bento)
    faults = []
    if f"{manifest.name}:{manifest.version}" != tag:
        faults.append(f"its bento.yaml says it is {manifest.name}:{manifest.version}")
    if not (bento / "src").is_dir():
        faults.append("it has no src folder")
    faults += [
        f"its model {model.name}:{model.version} is not in {models}"
        for model in manifest.models
        if not (models / model.name / model.version / "model.yaml").is_file()
    ]
    if faults:
        raise InputError(
            f"the bento {tag} in {bento} is damaged: {'; '.join(faults)}",
            fix="build it again with: bentoml build",
        )
    return manifest


def read_created(folder: Path, file: str = "bento.yaml") -> datetime:
    """Tell when a bento or model was made; the beginning of time where that cannot be read."""
    try:
        created = read_bounded(folder / file)["creation_time"]
        moment = created if isinstance(created, datetime) else datetime.fromisoformat(created)
    except (OSError, KeyError, TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _manifest(raw: Any) -> Manifest:  # noqa: ANN401 - as YAML gives it
    listed = list(islice(_listed(raw), _MOST_MODELS + 1))
    if len(listed) > _MOST_MODELS:
        raise ValueError(f"it lists more than {_MOST_MODELS} models")
    models = {
        _model(str(item["tag"])) for item in listed if item.get("registry", "bentoml") == "bentoml"
    }
    return Manifest(str(raw["name"]), str(raw["version"]), tuple(sorted(models)))


def _listed(raw: Any) -> Iterator[Any]:  # noqa: ANN401 - as YAML gives it
    yield from raw.get("models") or ()
    for service in raw.get("services") or ():
        yield from service.get("models") or ()


def _model(tag: str) -> Model:
    name, _, version = tag.partition(":")
    if not version or "/" in tag or ".." in (name, version):
        raise ValueError(f"{tag!r} is no model with a version")
    return Model(name, version)


def _corrupt(bento: Path, why: str) -> InputError:
    return InputError(
        f"the bento in {bento} is damaged: {why}",
        fix="delete it and build it again with: bentoml build",
    )
