"""Commands that tell how they are called, set and ended, and fail in the form that was asked for.

``--help`` ends with examples, the environment variables and the exit codes. Each option may be set
by ``COALMINE_<COMMAND>_<OPTION>``, in which the option's name is the one of the command line. With
``-o json`` an error is an object on stderr, a line, with the exit code in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    # What the two classes below have in common is added to one of click's commands.
    _Base = click.Command
else:
    _Base = object

__all__ = [
    "Command",
    "Group",
    "describe_error",
    "let_go_of_unread",
    "long_name",
    "tell",
    "tell_error",
]

EXITS = {
    0: "done",
    1: "it failed; trying again may help",
    2: "the input is wrong; trying again cannot help",
    130: "stopped with Ctrl-C",
}
JSON = "coalmine.json"
"""Where a context keeps whether its command was asked for JSON."""


class _Told(_Base):
    """What a command and a group of commands have in common.

    Args:
        examples: Command lines, the simplest first.
        exits: What exit codes mean where it is not what they mean everywhere; empty for never.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's own
        examples: Sequence[str] = (),
        exits: Mapping[int, str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        meant = {**EXITS, **(exits or {})}
        self.exits = {code: text for code, text in meant.items() if text}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for option in self.params:
            if isinstance(option, click.Option) and option.allow_from_autoenv:
                option.envvar = _variables(option, ctx)
        ctx.meta[JSON] = _wants_json(self, ctx, args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.examples))
        if rows := _environment(self, ctx):
            with formatter.section("Environment"):
                formatter.write_dl(rows)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), self.exits[code]) for code in sorted(self.exits)])


class Command(_Told, click.Command):
    """A command that tells how it is called, set and ended."""


class Group(_Told, click.Group):
    """A group of such commands."""

    command_class = Command

    def resolve_command(  # noqa: D102 - click's
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 - only on an error

            near = get_close_matches(args[0], names, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"See '{ctx.command_path} --help'."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)


def long_name(option: click.Parameter) -> str:
    """Give an option's name on the command line, as Python writes it; an argument's own."""
    if not isinstance(option, click.Option):
        return option.name or ""
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


def _variables(option: click.Option, ctx: click.Context) -> list[str]:
    named = [option.envvar] if isinstance(option.envvar, str) else [*(option.envvar or ())]
    own = f"{ctx.auto_envvar_prefix}_{long_name(option).upper()}"
    return list(dict.fromkeys([*named, own]))


def _environment(command: click.Command, ctx: click.Context) -> list[tuple[str, str]]:
    """List the variables with a name of their own, and show how the others are named."""
    options = [one for one in command.params if isinstance(one, click.Option) and one.expose_value]
    own = f"{ctx.auto_envvar_prefix}_"
    named = [(_variables(one, ctx)[0], max(one.opts, key=len)) for one in options]
    rows = [(name, flag) for name, flag in named if not name.startswith(own)]
    if options and all(one.allow_from_autoenv for one in options):
        first = max(options[0].opts, key=len)
        name = f"{own}{long_name(options[0]).upper()}"
        rows.append((name, f"{first}, and so for every option"))
    return rows


def _wants_json(command: click.Command, ctx: click.Context, args: Sequence[str]) -> bool:
    """Say whether the result is to be JSON, before anything in the command line is refused."""
    option = next((one for one in command.params if _offers_json(one)), None)
    if not isinstance(option, click.Option):
        return False
    given = [_value_of(option, args, place) for place in range(len(args))]
    return next(
        (value for value in reversed(given) if value is not None),
        option.resolve_envvar_value(ctx) or ctx.lookup_default(option.name or "") or "",
    ) == "json"  # fmt: skip


def _offers_json(option: click.Parameter) -> bool:
    return isinstance(option.type, click.Choice) and "json" in option.type.choices


def _value_of(option: click.Option, args: Sequence[str], place: int) -> str | None:
    """Give the option's value, if it is given at this place of the command line."""
    for flag in option.opts:
        if args[place] == flag:
            return args[place + 1] if place + 1 < len(args) else None
        joined = f"{flag}=" if flag.startswith("--") else flag
        if args[place].startswith(joined):
            return args[place].removeprefix(joined)
    return None


def describe_error(error: Exception) -> tuple[dict[str, str], int]:
    """Say what an error is: its message, its fix if it has one, and the exit code.

    Args:
        error: One of ours, of click's or of the operating system.
    """
    if isinstance(error, click.ClickException):
        return {"error": error.format_message()}, error.exit_code
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return {"error": f"{place}{error.strerror or error}"}, 1
    found = {name: str(getattr(error, name, "")) for name in ("message", "fix", "field")}
    told = {"error": found.pop("message") or str(error), **found}
    return {name: text for name, text in told.items() if text}, getattr(error, "exit_code", 1)


def tell_error(told: Mapping[str, str], code: int, *, as_json: bool) -> None:
    """Tell what went wrong on stderr: a sentence and the fix, or an object."""
    if as_json:
        import json  # noqa: PLC0415 - a gate must end as one where no module can be imported

        tell(json.dumps({**told, "exit_code": code}))
        return
    tell(f"Error: {told['error']}" + (f"\n  fix: {told['fix']}" if "fix" in told else ""))


def tell(text: str) -> None:
    """Say it on stderr; where nobody reads that, the exit code still has to be right."""
    with suppress(OSError):
        click.echo(text, err=True)


def let_go_of_unread() -> None:
    """Drop what nobody reads any more, or Python, which flushes at its end, exits with 120.

    Source: docs.python.org, "Note on SIGPIPE". What cannot be written for another reason, such as a
    full disk, is still an error.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (OSError, ValueError):
            continue
