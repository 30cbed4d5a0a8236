"""What a bento's ``bento.yaml`` says of the bento and of the models it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError

__all__ = ["Manifest", "Model", "read_created", "read_manifest"]


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
        return _manifest(_load(bento / "bento.yaml"))
    except FileNotFoundError:
        raise _corrupt(bento, "it has no bento.yaml") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _corrupt(bento, f"its bento.yaml is not what BentoML writes ({error!r})") from None


def read_created(folder: Path, file: str = "bento.yaml") -> datetime:
    """Tell when a bento or model was made; the beginning of time where that cannot be read."""
    try:
        created = _load(folder / file)["creation_time"]
        moment = created if isinstance(created, datetime) else datetime.fromisoformat(created)
    except (OSError, KeyError, TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _load(path: Path) -> Any:  # noqa: ANN401 - as YAML gives it
    import yaml  # noqa: PLC0415 - only stores need it

    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _manifest(raw: Any) -> Manifest:  # noqa: ANN401 - as YAML gives it
    listed = [
        *(raw.get("models") or ()),
        *(model for service in raw.get("services") or () for model in service.get("models") or ()),
    ]
    models = {
        _model(str(item["tag"])) for item in listed if item.get("registry", "bentoml") == "bentoml"
    }
    return Manifest(str(raw["name"]), str(raw["version"]), tuple(sorted(models)))


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
