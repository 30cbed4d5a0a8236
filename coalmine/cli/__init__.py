"""The ``coalmine`` command. Each subcommand is a module of this package, imported when called."""

from __future__ import annotations

import errno
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coalmine import __version__
from coalmine.cli.told import JSON, Group, describe_error, let_go_of_unread, tell, tell_error

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["main"]

COMMANDS = {
    "demo": "Release three versions of a model on this machine, and watch.",
    "up": "Start the stack on this machine: launcher, Envoy, Prometheus.",
    "down": "Stop the stack on this machine.",
    "status": "Show what runs on this machine and what is routed where.",
    "release": "Ask for a release of a bento version.",
    "runs": "List releases, or show one.",
    "watch": "Follow a release until it ends.",
    "logs": "Show what the steps of a release write.",
    "cancel": "Cancel a release.",
    "retry": "Ask once more for a release that came to nothing.",
    "approve": "Promote a canary that is held for a person.",
    "reject": "Roll back a canary that is held for a person.",
    "report": "Write the HTML report of a release.",
    "send": "Send a CloudEvent to a launcher.",
    "bindings": "Check which events start what.",
    "launcher": "Receive events and run releases.",
    "compile": "Compile a pipeline for an engine.",
    "schedule": "Run a pipeline at fixed times.",
    "graph": "Show a pipeline's graph.",
    "push": "Put a bento into a store that others read.",
    "bentos": "List the bentos in a store.",
    "gc": "Remove build contexts and images that nobody needs any more.",
    "step": "Do the work of one task of a release.",
    "gate": "Judge a canary by a policy, and exit with the verdict.",
    "doctor": "Say what is here, what is missing and how to get it.",
}
INTERRUPTED = 128 + signal.SIGINT
ASKED = "coalmine.command"
"""Where a context keeps the name of the command that was asked for."""
NO_VERDICT = 3
"""How ``gate`` ends where it comes to no verdict; with 1 it says roll back."""
CONFIG_FILES = ("coalmine.yaml", ".coalmine/config.yaml")


class _LazyGroup(Group):
    """Knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"coalmine.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - keeps `--help` quick

        names = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command gives
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click itself would end with 1, as if the work had failed
            click.echo(err=True)
            sys.exit(INTERRUPTED)
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            code = _tell_end(error, ctx)
            if code is None:
                raise
            sys.exit(code)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[ASKED] = args[0] if args else ""
        return super().resolve_command(ctx, args)


def _tell_end(error: Exception, ctx: click.Context) -> int | None:
    """Tell of a gate's failure, and of any in JSON; gives the exit code, or None for the rest."""
    from coalmine._base.errors import CoalmineError  # noqa: PLC0415 - keeps `--help` quick

    as_json = bool(ctx.meta.get(JSON))
    told, code = describe_error(error)
    known = isinstance(error, (CoalmineError, OSError, click.ClickException))
    unread = isinstance(error, OSError) and error.errno == errno.EPIPE
    if ctx.meta.get(ASKED) == "gate" and code == 1:
        told["error"] = f"no verdict: {told['error'] if known else _named(error)}"
        code = NO_VERDICT
    elif unread or not known or not as_json:
        return None
    if not known:
        from traceback import format_exception  # noqa: PLC0415 - only on an error

        tell("".join(format_exception(error)))
    if not unread:
        tell_error(told, code, as_json=as_json)
    return code


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@click.group(
    cls=_LazyGroup,
    examples=(
        "coalmine doctor",
        "coalmine demo",
        "coalmine up && coalmine release iris_classifier --watch",
        'eval "$(_COALMINE_COMPLETE=bash_source coalmine)"   # completion; also zsh_, fish_source',
    ),
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "COALMINE"},
)
@click.version_option(__version__, prog_name="coalmine")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with defaults: a mapping from command to options. "
    f"Else the first of {', '.join(CONFIG_FILES)} that exists.",
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Release machine-learning models safely.

    Every option can also be set by an environment variable COALMINE_<COMMAND>_<OPTION> or in a
    configuration file; the command line is strongest, then the environment, then the file.
    """
    ctx.default_map = _read_config(config)
    if ctx.invoked_subcommand in ctx.default_map:
        from coalmine.cli.config import named_options  # noqa: PLC0415 - keeps `--help` quick

        name = str(ctx.invoked_subcommand)
        section = named_options(ctx.default_map[name], name, cli.get_command(ctx, name))
        ctx.default_map = {**ctx.default_map, name: section}


def main() -> None:
    """Run the command line; errors are shown as sentences, never as tracebacks."""
    from coalmine._base.errors import CoalmineError  # noqa: PLC0415 - keeps `--help` quick

    try:
        cli(prog_name="coalmine")
    except (CoalmineError, OSError) as error:
        told, code = describe_error(error)
        tell_error(told, code, as_json=False)
        sys.exit(code)
    finally:
        let_go_of_unread()


def _read_config(path: Path | None) -> dict[str, Any]:
    found = path or next((Path(name) for name in CONFIG_FILES if Path(name).is_file()), None)
    if found is None:
        return {}
    from coalmine.cli.config import read_config  # noqa: PLC0415 - keeps `--help` quick

    return read_config(found, COMMANDS)
