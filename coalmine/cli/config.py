"""The configuration file: defaults for the options of each command."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from coalmine.cli.told import long_name

__all__ = ["named_options", "read_config"]


def read_config(path: Path, commands: Collection[str]) -> dict[str, dict[str, Any]]:
    """Read a configuration file; options may be written as on the command line, with hyphens.

    Args:
        path: A YAML file, a mapping from command to a mapping from option to value.
        commands: The commands there are.

    Raises:
        click.UsageError: It is no YAML, or of another shape, or names no command.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} is no YAML: {error}") from None
    except RecursionError:
        raise click.UsageError(f"{path} is no YAML that can be meant: it is too deep") from None
    if not isinstance(content or {}, dict):
        raise click.UsageError(f"{path}: write a mapping from command to options")
    sections: Mapping[object, object] = content or {}
    for command, options in sections.items():
        if command not in commands:
            raise click.UsageError(f"{path}: {command}: there is no such command")
        if not isinstance(options, dict):
            raise click.UsageError(f"{path}: {command}: write a mapping from option to value")
    return {
        str(command): {str(name).lstrip("-").replace("-", "_"): value for name, value in o.items()}
        for command, o in sections.items()
        if isinstance(o, dict)
    }


def named_options(
    options: Mapping[str, Any], name: str, command: click.Command | None
) -> dict[str, Any]:
    """See that the file's section for a command holds nothing but options of it.

    Args:
        options: The section, by the options' names on the command line.
        name: The command's name.
        command: The command.

    Returns:
        The section by the names of the command's parameters, as click wants it.

    Raises:
        click.UsageError: An option is unknown; the message lists those there are.
    """
    given = command.params if command else []
    known = {long_name(one): str(one.name) for one in given if isinstance(one, click.Option)}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise click.UsageError(
            f"configuration file: {name}: there is no option {', '.join(unknown)}; "
            f"there are {', '.join(sorted(known))}"
        )
    return {known[option]: value for option, value in options.items()}
