"""``coalmine up``: start the stack on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from coalmine._base.errors import CoalmineError
from coalmine.cli.options import state_option

__all__ = ["command"]

PORT = click.IntRange(0, 65535)


@click.command()
@click.option("--proxy-port", type=PORT, default=0, help="Where users call; 0 takes any.")
@click.option("--launcher-port", type=PORT, default=0, help="Where events are sent; 0 takes any.")
@click.option("--prometheus-port", type=PORT, default=0, help="Where Prometheus is; 0 takes any.")
@click.option("--policy", default="", help="The gate's policy file for every release.")
@click.option("--store", default="", help="Where bentos come from.")
@click.option(
    "--bindings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Which events start which pipeline.",
)
@click.option("--launcher/--no-launcher", default=True, help="Receive events and run releases.")
@state_option
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
) -> None:
    """Start the stack on this machine: launcher, Envoy, Prometheus.

    It goes on in the background, with the services of an earlier time. Where it runs already, only
    what is asked for and missing is started. Ports that are taken once are taken again next time.
    """
    from coalmine.serving.local import LocalServing  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stack.stack import LauncherSettings, Ports, Stack  # noqa: PLC0415

    settings = LauncherSettings(_absolute(policy), _absolute(store), bindings)
    serving = LocalServing.of(state)
    try:
        endpoints = Stack(state).start(
            ports=Ports(proxy=proxy_port, launcher=launcher_port, prometheus=prometheus_port),
            launcher=settings if launcher else None,
        )
    except CoalmineError:
        # One service does not come back, or nothing runs at all: that is the fault to tell of.
        with contextlib.suppress(CoalmineError):
            serving.resume()
        raise
    serving.resume()
    click.echo(f"services    {endpoints.proxy}/<service>/")
    if launcher:
        click.echo(f"events      {endpoints.launcher}")
    click.echo(f"prometheus  {endpoints.prometheus}")
    click.echo(f"state       {state}")


def _absolute(given: str) -> str:
    # The launcher has another working folder.
    return str(Path(given).absolute()) if given and Path(given).exists() else given
