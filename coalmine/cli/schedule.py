"""``coalmine schedule``: run a pipeline at fixed times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coalmine._base.errors import InputError
from coalmine.cli.told import Command

if TYPE_CHECKING:
    from coalmine.compiler.around.schedule import Schedule
    from coalmine.compiler.graph import Graph

__all__ = ["command"]

ID_PARAMETER = "release_id"
IMAGE = "ghcr.io/coalmine-dev/coalmine:{version}"
TYPE = "dev.coalmine.release.requested.v1"


@click.command(
    cls=Command,
    examples=(
        "coalmine schedule pipeline.py --cron @daily --engine argo --param name=iris -o cron.yaml",
    ),
)
@click.argument(
    "pipeline_file", metavar="PIPELINE", type=click.Path(dir_okay=False, path_type=Path)
)
@click.option("--cron", required=True, help="Five fields, e.g. '0 3 * * 1-5', or e.g. @daily.")
@click.option("--engine", type=click.Choice(["kfp", "argo", "tekton"]), required=True)
@click.option("--name", default="", help="Of the schedule; else the pipeline's.")
@click.option("--timezone", default="", help="An IANA name such as Europe/Berlin.")
@click.option(
    "--concurrency",
    type=click.Choice(["forbid", "allow", "replace"]),
    help="When the run before has not ended; forbid, where the engine can.",
)
@click.option(
    "--catch-up",
    type=click.Choice(["none", "last", "all"]),
    help="Which missed runs to start late; the last unless told.",
)
@click.option(
    "--param",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter of the pipeline; on tekton a field of the event.",
)
@click.option("--host", default="", help="kfp: base URL of the API.")
@click.option("--token", default="", help="kfp: a token for the API.")
@click.option("--experiment", default="coalmine", show_default=True, help="kfp: for its runs.")
@click.option("--namespace", default="", help="kfp: of the user; tekton: of the listener.")
@click.option("--url", default="", help="tekton: where to post the event; else the listener.")
@click.option("--event-type", default=TYPE, show_default=True, help="tekton: the event's type.")
@click.option("--image", default="", help="tekton: what posts the event; else Coalmine's own.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the manifest; stdout if not given.",
)
@click.option("--pipeline", default="", help="Which pipeline, where the source holds several.")
def command(*, pipeline_file: Path, pipeline: str, output: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Run PIPELINE at fixed times.

    For kfp a recurring run is made at once, and its id printed. For argo and tekton a manifest is
    written, which kubectl applies.
    """
    from coalmine.cli.beside import named_values  # noqa: PLC0415 - `--help` stays quick
    from coalmine.cli.written import write_output  # noqa: PLC0415
    from coalmine.compiler.around.schedule import Schedule  # noqa: PLC0415
    from coalmine.compiler.targets import read_pipeline  # noqa: PLC0415

    graph = read_pipeline(pipeline_file, pipeline=pipeline)
    schedule = Schedule(
        engine=options["engine"],
        name=options["name"] or graph.name,
        cron=options["cron"],
        timezone=options["timezone"],
        concurrency=options["concurrency"] or "",
        catch_up=options["catch_up"] or "",
        parameters=named_values(options["parameters"]),
    ).checked()
    if schedule.engine != "tekton":
        _check_parameters(graph, schedule)
    if schedule.engine == "kfp":
        click.echo(_recurring_run(pipeline_file, pipeline, schedule, options, _id_of(graph)))
        return
    write_output(_manifest(graph, schedule, options), output)


def _id_of(graph: Graph) -> str:
    return ID_PARAMETER if any(item.name == ID_PARAMETER for item in graph.parameters) else ""


def _check_parameters(graph: Graph, schedule: Schedule) -> None:
    from coalmine.compiler.around.extras import check_parameters  # noqa: PLC0415

    made = {_id_of(graph): "made for each run"} if _id_of(graph) else {}
    check_parameters(graph, {**made, **schedule.parameters})


def _manifest(graph: Graph, schedule: Schedule, options: dict[str, Any]) -> str:
    from coalmine import __version__  # noqa: PLC0415
    from coalmine.compiler.around.schedule import Posting, cron_job, cron_workflow  # noqa: PLC0415
    from coalmine.compiler.manifest import Manifest  # noqa: PLC0415

    if schedule.engine == "argo":
        documents = [cron_workflow(graph, schedule, id_parameter=_id_of(graph))]
    else:
        namespace = options["namespace"] or "default"
        posting = Posting(
            image=options["image"] or IMAGE.format(version=__version__),
            url=_url(options["url"]) or f"http://el-{graph.name}.{namespace}.svc:8080",
            type=options["event_type"],
        )
        documents = cron_job(schedule, posting)
    return "---\n".join(Manifest(document).to_yaml() for document in documents)


def _url(given: str) -> str:
    if given and not given.startswith(("http://", "https://")):
        raise InputError(
            f"{given!r} is no URL that an event can be posted to",
            field="--url",
            fix="give one like http://el-release.ml.svc:8080",
        )
    return given


def _recurring_run(
    path: Path, pipeline: str, schedule: Schedule, options: dict[str, Any], id_parameter: str
) -> str:
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    from coalmine.compiler.around.recurring import create_recurring_run  # noqa: PLC0415
    from coalmine.compiler.targets import Target, compile_pipeline  # noqa: PLC0415

    if not options["host"]:
        raise InputError(
            "is needed for kfp", field="--host", fix="give the base URL of Kubeflow Pipelines' API"
        )
    with TemporaryDirectory(prefix="coalmine-schedule-") as folder:
        package = Path(folder) / "pipeline.yaml"
        package.write_text(compile_pipeline(path, Target.KFP, pipeline=pipeline).text, "utf-8")
        return create_recurring_run(
            package,
            schedule,
            host=options["host"],
            token=options["token"],
            namespace=options["namespace"],
            experiment=options["experiment"],
            id_parameter=id_parameter,
        )
