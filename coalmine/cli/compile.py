"""``coalmine compile``: one pipeline, three targets."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument(
    "pipeline_file", metavar="PIPELINE", type=click.Path(dir_okay=False, path_type=Path)
)
@click.option(
    "--target",
    type=click.Choice(["kfp", "tekton", "argo"]),
    required=True,
    help="What to compile to: KFP IR, a Tekton Pipeline or an Argo WorkflowTemplate.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; stdout if not given. It is written whole, or not at all.",
)
@click.option("--pipeline", default="", help="Which pipeline, where the source holds several.")
def command(pipeline_file: Path, target: str, output: Path | None, pipeline: str) -> None:
    """Compile PIPELINE for an engine.

    PIPELINE is a .py file in the Kubeflow Pipelines DSL, or KFP IR as .yaml. What the target
    cannot do is an error that names the task; see docs/compile-targets.md.
    """
    from coalmine._base.errors import CoalmineError  # noqa: PLC0415 - `--help` is quick
    from coalmine._base.files import write_atomic  # noqa: PLC0415
    from coalmine.compiler.targets import Target, compile_pipeline  # noqa: PLC0415

    compiled = compile_pipeline(pipeline_file, Target(target), pipeline=pipeline)
    for note in compiled.notes:
        click.echo(f"Note: {note}", err=True)
    if output is None:
        click.echo(compiled.text, nl=False)
        return
    try:
        write_atomic(output, compiled.text)
    except OSError as error:
        raise CoalmineError(
            f"{output} cannot be written: {error.strerror or error}", fix="give another --output"
        ) from None
