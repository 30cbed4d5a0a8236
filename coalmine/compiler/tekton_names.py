"""Names that Tekton takes: its rules are not the same for parameters, results and runs."""

from __future__ import annotations

from collections.abc import Iterable

from coalmine._base.errors import InputError
from coalmine.compiler.manifest import Place
from coalmine.compiler.pod import SIMPLE_NAME

__all__ = ["TARGET", "check_cases", "checked_name", "checked_result"]

TARGET = "tekton"


def checked_name(name: str, where: Place) -> str:
    """Take a name of a parameter.

    Raises:
        InputError: It is not legal.
    """
    if SIMPLE_NAME.fullmatch(name):
        return name
    raise InputError(
        f"{where}: the name is not legal", fix="use letters, digits, dashes and underscores"
    )


def checked_result(name: str, where: Place) -> str:
    """Take a name of a result; unlike one of a parameter it begins and ends with a letter or digit.

    Raises:
        InputError: It is not legal.
    """
    if name.strip("_-") == name:
        return checked_name(name, where)
    raise InputError(
        f"{where}: Tekton refuses a result whose name begins or ends with a dash or an underscore",
        fix="rename the output, or compile for argo or kfp",
    )


def check_cases(names: Iterable[str], task: str) -> None:
    """See that names of parameters differ by more than capitals, which Tekton does not tell apart.

    Source: Tekton, "Parameters": those of a run are compared without regard to case.

    Raises:
        InputError: Two do not.
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise InputError(
                f"{Place(task, f'parameter {name!r}', TARGET)}: Tekton does not tell it from "
                f"{other!r}",
                fix="give it a name that differs by more than capitals, or compile for argo or kfp",
            )
