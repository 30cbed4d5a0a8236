"""A BentoML store on this machine.

It is read straight from its folders, ``bentos/NAME/VERSION`` and ``models/NAME/VERSION``, and never
written to. BentoML's own export first copies the models into the stored bento and deletes them
again, so two exports, or one and a killed one, spoil each other; BentoML also takes its home from
the environment when it is imported, once a process. A test holds this reading to be the same as
BentoML's export.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic
from coalmine.stores.context import walk
from coalmine.stores.manifest import Model, check_bento, read_created
from coalmine.stores.names import check_name, check_version, instead, is_latest, listed
from coalmine.stores.protocol import Found

__all__ = ["LocalStore"]


class LocalStore:
    """The store in one BENTOML_HOME.

    Args:
        home: The BENTOML_HOME.
    """

    url = ""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._bentos = home / "bentos"
        self._models = home / "models"

    def resolve(self, name: str, version: str) -> str:
        """Find the version that is meant; ``latest`` and the empty string mean the newest.

        Raises:
            InputError: The store holds no such bento; the message lists what it does hold.
        """
        check_name(name)
        versions = self._versions(name)
        if not versions:
            raise InputError(
                f"there is no bento {name!r} in {self._home}",
                field="name",
                fix=instead(self._names()),
            )
        if is_latest(version):
            return self._latest(name, versions)
        check_version(version)
        if version not in versions:
            raise InputError(
                f"there is no bento {name}:{version} in {self._home}",
                field="version",
                fix=f"release one of: {listed(versions)}",
            )
        return version

    def find(self, name: str, version: str) -> Found:
        """Look a bento up.

        Its source is the places, sizes and times of change of its files; the time is that of the
        inode, which cannot be set.

        Raises:
            InputError: The bento is not there or is damaged.
        """
        bento = self._bentos / name / self.resolve(name, version)
        models = check_bento(bento, f"{name}:{version}", models=self._models).models
        return Found(self._source(bento, models), lambda into: self._copy(bento, models, into))

    def _source(self, bento: Path, models: Iterable[Model]) -> str:
        facts = hashlib.sha256()
        for folder in (bento, *(self._folder(model) for model in models)):
            for path, item in sorted(walk(folder)):
                seen = item.lstat()
                facts.update(f"{path!r} {seen.st_ino} {seen.st_size} {seen.st_ctime_ns}".encode())
        return f"{bento.absolute().as_uri()} {facts.hexdigest()}"

    def _copy(self, bento: Path, models: Iterable[Model], into: Path) -> None:
        """Write what BentoML's export has."""
        try:
            shutil.copytree(bento, into, symlinks=True, ignore=_not_models_of(bento))
            for model in models:
                shutil.copytree(
                    self._folder(model), into / _path(model), symlinks=True, dirs_exist_ok=True
                )
            self._note_latest(models, into)
        except OSError as error:
            raise CoalmineError(
                f"the bento {bento} could not be copied to {into}: {_reason(error)}",
                fix=f"see that there is room in {into.parent} and that {self._home} can be read",
            ) from error

    def names(self) -> dict[str, list[str]]:
        """List every bento's versions, the oldest first."""
        return {
            name: sorted(
                self._versions(name), key=lambda one: read_created(self._bentos / name / one)
            )
            for name in self._names()
        }

    def _note_latest(self, models: Iterable[Model], into: Path) -> None:
        """Write which version of each model is the newest here, as BentoML looks for it."""
        dated = sorted((read_created(self._folder(m), "model.yaml"), m) for m in models)
        for _, model in dated:
            write_atomic(into / "models" / model.name / "latest", model.version)

    def _latest(self, name: str, versions: list[str]) -> str:
        try:
            noted = (self._bentos / name / "latest").read_text().strip()
        except OSError:
            noted = ""
        if noted in versions:
            return noted
        return max(versions, key=lambda version: read_created(self._bentos / name / version))

    def _names(self) -> list[str]:
        return [name for name in _folders(self._bentos) if self._versions(name)]

    def _versions(self, name: str) -> list[str]:
        return _folders(self._bentos / name)

    def _folder(self, model: Model) -> Path:
        return self._models / model.name / model.version


def _path(model: Model) -> Path:
    return Path("models") / model.name / model.version


def _folders(parent: Path) -> list[str]:
    try:
        return sorted(item.name for item in parent.iterdir() if item.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _not_models_of(bento: Path) -> Callable[[str, list[str]], list[str]]:
    def ignore(folder: str, names: list[str]) -> list[str]:
        return ["models"] if Path(folder) == bento and "models" in names else []

    return ignore


def _reason(error: OSError) -> str:
    """Take one of the errors that copytree gathers: (from, to, why) for each file."""
    if isinstance(error, shutil.Error) and error.args and error.args[0]:
        return str(error.args[0][0][-1])
    return error.strerror or str(error)
