"""``coalmine graph``: what a pipeline is once its nesting is undone."""

from __future__ import annotations

from pathlib import Path

import click

from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    "graph",
    cls=Command,
    examples=("coalmine graph pipeline.py", "coalmine graph pipeline.yaml -o svg > pipeline.svg"),
)
@click.argument(
    "pipeline_file", metavar="PIPELINE", type=click.Path(dir_okay=False, path_type=Path)
)
@click.option(
    "-o",
    "--output",
    "shape",
    type=click.Choice(["text", "json", "mermaid", "svg"]),
    default="text",
    show_default=True,
    help="Text for people, JSON for programs, Mermaid for a Markdown page, SVG for a picture.",
)
@click.option("--pipeline", default="", help="Which pipeline, where the source holds several.")
def command(pipeline_file: Path, shape: str, pipeline: str) -> None:
    """Show the tasks of PIPELINE, in which order they run and under which conditions.

    PIPELINE is a .py file in the Kubeflow Pipelines DSL, or KFP IR as .yaml.
    """
    from coalmine.compiler.targets import read_pipeline  # noqa: PLC0415 - `--help` is quick
    from coalmine.compiler.views import to_json, to_mermaid, to_svg, to_text  # noqa: PLC0415

    writers = {"text": to_text, "json": to_json, "mermaid": to_mermaid, "svg": to_svg}
    write = writers[shape]
    click.echo(write(read_pipeline(pipeline_file, pipeline=pipeline)), nl=False)
