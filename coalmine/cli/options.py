"""Options that several commands take, so that they read the same everywhere."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "DEFAULT_STATE",
    "Finite",
    "database_option",
    "engine_options",
    "launcher_option",
    "output_option",
    "release_options",
    "state_option",
    "token_option",
]

F = TypeVar("F", bound=Callable[..., Any] | click.Command)

DEFAULT_STATE = ".coalmine/local"


def state_option(function: F) -> F:
    """Add ``--state``, the state folder, as an absolute path in parameter ``state``."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
        default=DEFAULT_STATE,
        show_default=True,
        envvar="COALMINE_STATE",
        help="Folder in which everything on this machine keeps its state.",
    )(function)


def launcher_option(function: F) -> F:
    """Add ``--launcher``, the base URL of a launcher to ask, in parameter ``url``."""
    return click.option(
        "--launcher",
        "url",
        default="",
        help="Base URL; else the launcher with this state folder or database. ID is then whole.",
    )(function)


def database_option(function: F) -> F:
    """Add ``--database``, the URL of a ledger, in parameter ``database``."""
    return click.option(
        "--database",
        default="",
        envvar="COALMINE_DATABASE",
        help="postgresql:// URL of the launchers' ledger; else the file in the state folder.",
    )(function)


def token_option(function: F) -> F:
    """Add ``--token-file``; parameter ``token`` is the first line of it, or COALMINE_TOKEN."""
    return click.option(
        "--token-file",
        "token",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="COALMINE_TOKEN_FILE",
        callback=_read_token,
        help="File with the token to show to the launcher; else COALMINE_TOKEN has it.",
    )(function)


def _read_token(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> str:
    if value is None:
        return os.environ.get("COALMINE_TOKEN", "").strip()
    try:
        lines = value.read_text(encoding="ascii").split()
    except UnicodeDecodeError:
        lines = []
    if not lines:
        raise click.BadParameter(f"{value} holds no token")
    return lines[0]


def output_option(function: F) -> F:
    """Add ``-o``/``--output``: ``text`` for people, ``json`` for programs."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How to print the result.",
    )(function)


def release_options(function: F) -> F:
    """Add what says where releases are read and how they are shown: ``url`` to ``output``."""
    options = (launcher_option, database_option, token_option, state_option, output_option)
    for add in reversed(options):
        function = add(function)
    return function


class Finite(click.FloatRange):
    """A number in a range; "nan" is in every range for click, and here in none."""

    def convert(  # noqa: D102 - click's
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


_ENGINE_OPTIONS = (
    click.option(
        "--engine",
        "engine_names",
        type=click.Choice(["local", "tekton", "argo", "kfp"]),
        multiple=True,
        help="Where runs may be made; else here and where the bindings say. Repeatable.",
    ),
    click.option(
        "--namespace", default="", help="Where tekton and argo make runs; kfp: of the user."
    ),
    click.option(
        "--kubeconfig",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="How to reach the cluster; else KUBECONFIG, the pod's own account or ~/.kube/config.",
    ),
    click.option("--context", default="", help="Of the kubeconfig; else its current one."),
    click.option("--account", default="", help="Service account of the tasks; else PIPELINE-run."),
    click.option(
        "--embed/--no-embed",
        "embedded",
        default=True,
        show_default=True,
        help="Let runs on tekton and argo carry their pipeline; else the cluster has it by name.",
    ),
    click.option("--kfp-host", default="", help="Base URL of Kubeflow Pipelines' API."),
    click.option(
        "--kfp-token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with a token for it.",
    ),
    click.option("--kfp-experiment", default="coalmine", show_default=True, help="For its runs."),
    click.option(
        "--tasks-url",
        default="",
        help="Base URL at which tasks on a cluster ask the launcher about a held canary.",
    ),
    click.option(
        "--tasks-secret",
        default="",
        metavar="NAME[/KEY]",
        help="Secret with a token for that, in the namespace of the runs; its key is token.",
    ),
)


def engine_options(function: F) -> F:
    """Add what says where engines are: ``engine_names``, and the fields of ``EngineSettings``."""
    for add in reversed(_ENGINE_OPTIONS):
        function = add(function)
    return function
