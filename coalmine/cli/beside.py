"""From the options of ``coalmine compile --with`` to what the compiler makes of them."""

from __future__ import annotations

import re
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.compiler.around import Extra, Rule, Surroundings, parse_text
from coalmine.compiler.targets import Beside
from coalmine.launcher.bindings import Binding
from coalmine.launcher.bindings_file import load_bindings
from coalmine.launcher.release import Conflict

__all__ = ["beside_pipeline", "named_values"]

ID_PARAMETER = "release_id"
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def beside_pipeline(
    extras: str, parameters: tuple[str, ...], bindings: Path | None, namespace: str
) -> Beside:
    """Read the options.

    Raises:
        InputError: One is wrong; names it.
    """
    if not NAMESPACE.fullmatch(namespace):
        raise InputError(
            f"{namespace!r} is no name of a namespace",
            field="--namespace",
            fix="use at most 63 small letters, digits and dashes",
        )
    wanted = tuple(_extra(name.strip()) for name in extras.split(","))
    rules: tuple[Rule, ...] = ()
    if Extra.TRIGGERS in wanted:
        rules = tuple(_rule(item) for item in load_bindings(bindings))
    given = Surroundings(parameters=named_values(parameters), rules=rules, namespace=namespace)
    return Beside(wanted, given)


def named_values(texts: tuple[str, ...]) -> dict[str, str]:
    """Read ``NAME=VALUE`` of each ``--param``.

    Raises:
        InputError: One has no name, or a name stands there twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or name in values:
            raise InputError(
                f"{text!r} is no new NAME=VALUE", field="--param", fix="give each parameter once"
            )
        values[name] = value
    return values


def _extra(name: str) -> Extra:
    try:
        return Extra(name)
    except ValueError:
        raise InputError(
            f"there is no {name!r}", field="--with", fix=f"use some of: {', '.join(Extra)}"
        ) from None


def _rule(item: Binding) -> Rule:
    place = f"binding {item.name}"
    if not LABEL.fullmatch(item.name):
        raise InputError(
            "the name cannot name an object of Kubernetes",
            field=place,
            fix="use at most 32 small letters, digits and dashes",
        )
    for wrong, what in (
        (item.filter is not None, "filter"),
        (item.same_within > 0, "same_within"),
        (item.on_conflict is not Conflict.QUEUE, "on_conflict"),
    ):
        if wrong:
            raise InputError(
                f"{what} is what Coalmine's launcher does, and no event system of the targets",
                field=place,
                fix="remove it, or start releases with the launcher",
            )
    return Rule(
        name=item.name,
        pipeline=item.pipeline,
        types=item.types,
        sources=item.sources,
        subjects=item.subjects,
        parameters=tuple(
            (
                one.name,
                parse_text(one.value, place=f"{place}.{one.name}"),
                None
                if one.default is None
                else parse_text(one.default, place=f"{place}.{one.name}"),
            )
            for one in item.parameters
        ),
        id_parameter=ID_PARAMETER,
    )
