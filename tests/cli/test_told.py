"""Every command tells how it is called, set and ended; with ``-o json`` a failure is JSON too."""

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from coalmine.cli import COMMANDS, cli
from coalmine.cli.told import Command, Group

Coalmine = Callable[..., subprocess.CompletedProcess[str]]
Named = dict[str, Command | Group]


def _below(
    name: str, command: click.Command | None, ctx: click.Context
) -> Iterator[tuple[str, Command | Group]]:
    assert isinstance(command, (Command, Group)), name
    yield name, command
    if isinstance(command, Group):
        for inner in command.list_commands(ctx):
            yield from _below(f"{name} {inner}", command.get_command(ctx, inner), ctx)


@pytest.fixture(scope="module")
def commands() -> Named:
    """All commands, those within others too, by their words on the command line."""
    ctx = click.Context(cli)
    return dict(pair for name in COMMANDS for pair in _below(name, cli.get_command(ctx, name), ctx))


def test_help_says_how_it_is_called_set_and_ended(coalmine: Coalmine, commands: Named) -> None:
    for name, command in commands.items():
        shown = coalmine(*name.split(), "--help")
        assert shown.stdout.startswith(f"Usage: coalmine {name} "), name
        assert "Examples:\n  coalmine" in shown.stdout, name
        assert "Exit codes:\n  0 " in shown.stdout, name
        if any(one.expose_value for one in command.params if isinstance(one, click.Option)):
            assert "Environment:\n  COALMINE_" in shown.stdout, name


def test_examples_use_what_there_is(commands: Named) -> None:
    everywhere = {flag for one in commands.values() for flag in _flags(one)} | {"--help", "-"}
    for name, command in commands.items():
        known = everywhere if isinstance(command, Group) else _flags(command) | {"-"}
        for example in command.examples:
            words = shlex.split(example.partition(" < ")[0].partition(" > ")[0])
            assert words[: 1 + len(name.split())] == ["coalmine", *name.split()]
            assert {word for word in words if word.startswith("-")} <= known, example


def _flags(command: click.Command) -> set[str]:
    return {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("way", ["flag", "environment", "file"])
def test_the_launcher_is_named_in_three_ways(coalmine: Coalmine, tmp_path: Path, way: str) -> None:
    given = {"flag": ("--launcher", "nonsense")}.get(way, ())
    environment = {"COALMINE_RUNS_LAUNCHER": "nonsense"} if way == "environment" else {}
    if way == "file":
        (tmp_path / "coalmine.yaml").write_text("runs: {launcher: nonsense}")
    shown = coalmine("runs", *given, cwd=tmp_path, **environment)
    assert "'nonsense' is no URL of a launcher" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("runs", "-o", "json"), 2, "there are no releases in"),
        (("runs", "--output=json", "--nope"), 2, "No such option '--nope'."),
        (("runs", "-ojson", "--limit", "0"), 2, "Invalid value for '--limit'"),
        (("status", "-o", "text", "-o", "json"), 1, "no stack is running"),
        (("demo", "--state", "/proc/nowhere", "-o", "json"), 1, "/proc/nowhere"),
        (("graph", "nowhere.yaml", "-o", "json"), 2, "does not exist"),
        (("bindings", "test", "nowhere.json", "-o", "json"), 2, "No such file"),
        (("gate", "explain", "-o", "json"), 2, "Missing option '--prometheus'"),
    ],
)
def test_an_error_is_json_where_json_was_asked_for(
    coalmine: Coalmine,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    error: str,
) -> None:
    shown = coalmine(*arguments, cwd=tmp_path)
    (line,) = shown.stderr.splitlines()
    told = json.loads(line)
    assert error in told["error"]
    assert (shown.returncode, told["exit_code"], shown.stdout) == (code, code, "")


def test_json_may_be_asked_for_by_the_environment(coalmine: Coalmine) -> None:
    shown = coalmine("runs", "--limit", "0", COALMINE_RUNS_OUTPUT="json")
    assert "Invalid value" in json.loads(shown.stderr)["error"]


@pytest.mark.parametrize(
    "arguments",
    [("runs", "-o", "text", "--nope"), ("runs", "--service", "json", "--nope")],
)
def test_an_error_is_text_otherwise(coalmine: Coalmine, arguments: tuple[str, ...]) -> None:
    assert coalmine(*arguments).stderr.startswith("Usage: coalmine runs")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rnus",), "Did you mean 'runs'?"),
        (("step", "promot"), "Did you mean 'promote'?"),
        (("bindings", "xyz"), "See 'coalmine bindings --help'."),
        (("gc", "--days", "nan"), "'nan' is no number"),
        (("gc", "--days", "1e300"), "is not in the range"),
        (("gc", "--history-days", "inf"), "is not in the range"),
        (("demo", "--rate", "nan"), "'nan' is no number"),
        (("launcher", "--tell-for", "nan"), "'nan' is no number"),
        (("launcher", "--port", "70000"), "is not in the range"),
        (("runs", ""), "the release's id is empty"),
        (("compile", "p.py", "--target", "tekton", "--param", "a=b"), "--with writes"),
        (("compile", "p.py", "--target=argo", "--with=run", "--namespace=Ü"), "no name of a"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    coalmine: Coalmine, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "p.py").write_text("")
    shown = coalmine(*arguments, cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert said in shown.stderr


def test_up_refuses_bindings_before_anything_starts(coalmine: Coalmine, tmp_path: Path) -> None:
    (tmp_path / "bindings.yaml").write_bytes(b"\xff\xfe")
    shown = coalmine("up", "--state", "state", "--bindings", "bindings.yaml", cwd=tmp_path)
    assert (shown.returncode, "is no UTF-8 text" in shown.stderr) == (2, True)
    assert not (tmp_path / "state" / "supervisor").exists()


def test_completion_knows_commands_and_options() -> None:
    complete = ShellComplete(cli, {}, "coalmine", "_COALMINE_COMPLETE").get_completions
    assert [one.value for one in complete([], "re")] == ["release", "retry", "reject", "report"]
    assert [one.value for one in complete(["step"], "pro")] == ["promote"]
    assert [one.value for one in complete(["runs"], "--rel")] == ["--release-state"]
