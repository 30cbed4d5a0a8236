"""``coalmine up``: start the stack on this machine."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli.options import output_option, state_option
from coalmine.cli.told import Command

if TYPE_CHECKING:
    from coalmine.stack.layout import Endpoints, Layout
    from coalmine.stack.stack import LauncherSettings, Stack

__all__ = ["command"]

PORT = click.IntRange(0, 65535)


@click.command(
    cls=Command,
    examples=("coalmine up", "coalmine up --proxy-port 8080 --policy policy.yaml"),
)
@click.option("--proxy-port", type=PORT, default=0, help="Where users call; 0 takes any.")
@click.option("--launcher-port", type=PORT, default=0, help="Where events are sent; 0 takes any.")
@click.option("--prometheus-port", type=PORT, default=0, help="Where Prometheus is; 0 takes any.")
@click.option("--policy", default="", help="The gate's policy for every release: a file or a name.")
@click.option("--store", default="", help="Where bentos come from: a folder, or local.")
@click.option(
    "--bindings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Which events start which pipeline.",
)
@click.option("--launcher/--no-launcher", default=True, help="Receive events and run releases.")
@state_option
@output_option
def command(
    *,
    proxy_port: int,
    launcher_port: int,
    prometheus_port: int,
    policy: str,
    store: str,
    bindings: Path | None,
    launcher: bool,
    state: Path,
    output: str,
) -> None:
    """Start the stack on this machine: launcher, Envoy, Prometheus.

    It goes on in the background, with the services of an earlier time. Where it runs already, only
    what is asked for and missing is started. What is asked for once holds for the next time,
    too: ports, --policy, --store and --bindings.
    """
    from coalmine.serving.local import LocalServing  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stack.stack import LauncherSettings, Ports, Stack  # noqa: PLC0415

    stack = Stack(state)
    asked = LauncherSettings(
        _absolute(policy), _absolute(store), bindings.absolute() if bindings else None
    )
    settings = asked.over(LauncherSettings.read(stack.layout))
    if launcher:
        _check(settings, stack.layout)
    serving = LocalServing.of(state)
    try:
        endpoints = stack.start(
            ports=Ports(proxy=proxy_port, launcher=launcher_port, prometheus=prometheus_port),
            launcher=settings if launcher else None,
        )
    except CoalmineError:
        # One service does not come back, or nothing runs at all: that is the fault to tell of.
        with contextlib.suppress(CoalmineError):
            serving.resume()
        raise
    serving.resume()
    _tell(stack, endpoints, output, launcher=launcher)


def _tell(stack: Stack, endpoints: Endpoints, output: str, *, launcher: bool) -> None:
    state = str(stack.layout.state)
    if output == "json":
        result = {"state": state, "endpoints": asdict(endpoints), "restarted": stack.restarted}
        click.echo(json.dumps(result, indent=2))
        return
    if stack.restarted:
        parts = " and ".join(stack.restarted)
        click.echo(f"restarted {parts}, which was set otherwise; releases go on", err=True)
    click.echo(f"services    {endpoints.proxy}/<service>/")
    if launcher:
        click.echo(f"events      {endpoints.launcher}")
    click.echo(f"prometheus  {endpoints.prometheus}")
    click.echo(f"state       {state}")


def _check(settings: LauncherSettings, layout: Layout) -> None:
    """Refuse what every later release would fail by, before anything is changed."""
    from coalmine.gate.policy import load_policy  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stores.select import select_store  # noqa: PLC0415

    load_policy(settings.policy)
    select_store(settings.store, own=layout.bento_home)
    if settings.bindings and not settings.bindings.is_file():
        raise InputError(
            f"there is no file {settings.bindings}",
            field="bindings",
            fix="give another with --bindings",
        )
    if settings.bindings:
        from coalmine.cli.bindings import load  # noqa: PLC0415 - as above

        load(settings.bindings)


def _absolute(given: str) -> str:
    # The launcher has another working folder.
    return str(Path(given).absolute()) if given and Path(given).exists() else given
