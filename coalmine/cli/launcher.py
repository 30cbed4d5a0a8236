"""``coalmine launcher``: receive events and run releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coalmine.cli.options import Finite, engine_options, state_option
from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    examples=(
        "coalmine launcher",
        "coalmine launcher --host 0.0.0.0 --access access.yaml --engine tekton --namespace ml",
    ),
    exits={0: "stopped with SIGTERM"},
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Beyond loopback only with --access.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="0 means any free port.",
)
@state_option
@click.option(
    "--bindings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file that says which events start which pipeline; else the one in the package.",
)
@click.option(
    "--pipelines",
    type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
    help="Folder of compiled pipelines; else those in the package.",
)
@click.option(
    "--access",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file that says who may send, read and decide; else everybody on this machine.",
)
@click.option(
    "--database",
    default="",
    help="postgresql:// URL of a ledger that several launchers share; else a file in --state.",
)
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    envvar="COALMINE_SINKS",
    help="URL that is told what becomes of releases, by CloudEvents; also K_SINK. Repeatable; in "
    "COALMINE_SINKS with blanks between.",
)
@click.option(
    "--sinks-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with sinks that need a token, an authority or extensions.",
)
@click.option(
    "--tell-for",
    type=Finite(min=0, max=36500),
    default=3.0,
    show_default=True,
    metavar="DAYS",
    help="Days after which what a sink does not take is put aside.",
)
@click.option(
    "--receivers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    envvar="COALMINE_RECEIVERS",
    help="Processes that take events on the one port; see docs/launcher.md for when to have more.",
)
@click.option(
    "--public-url",
    default="",
    help="Base URL under which others read releases; else that which it listens on.",
)
@engine_options
@click.option(
    "--submit-for",
    type=Finite(min=0),
    default=600.0,
    show_default=True,
    help="Seconds for which a run is submitted again before its release is dead.",
)
def command(
    *,
    host: str,
    port: int,
    state: Path,
    bindings: Path | None,
    pipelines: Path | None,
    access: Path | None,
    database: str,
    engine_names: tuple[str, ...],
    submit_for: float,
    sinks: tuple[str, ...],
    sinks_file: Path | None,
    tell_for: float,
    receivers: int,
    public_url: str,
    **engines: Any,  # noqa: ANN401 - the fields of EngineSettings
) -> None:
    """Receive CloudEvents over HTTP and run a release for each, one at a time per service.

    An event is on disk before it is answered. SIGTERM ends the launcher with exit code 0; what was
    running goes on at its next start with the same state folder. One JSON object a line on stderr.
    """
    from coalmine._base.log import log_json_lines  # noqa: PLC0415 - `--help` stays quick
    from coalmine.compiler.ir import read_graph  # noqa: PLC0415
    from coalmine.engines.settings import EngineSettings  # noqa: PLC0415
    from coalmine.launcher.server import Settings, serve  # noqa: PLC0415

    log_json_lines()
    serve(
        Settings(
            state=state,
            read_graph=read_graph,
            host=host,
            port=port,
            bindings=bindings,
            pipelines=pipelines,
            access=access,
            database=database,
            engine_names=engine_names,
            engines=EngineSettings(**engines),
            submit_for=submit_for,
            sinks=sinks,
            sinks_file=sinks_file,
            tell_for=tell_for * 86400.0,
            receivers=receivers,
            public_url=public_url,
        )
    )
