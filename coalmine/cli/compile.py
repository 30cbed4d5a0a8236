"""``coalmine compile``: one pipeline, three targets."""

from __future__ import annotations

from pathlib import Path

import click

from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    examples=(
        "coalmine compile pipeline.py --target tekton -o pipeline.yaml",
        "coalmine compile pipeline.yaml --target argo --with run,rbac --param name=iris",
    ),
)
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
@click.option(
    "--with",
    "extras",
    metavar="LIST",
    default="",
    help="Also write, comma-separated: run (a run of it), triggers (what starts it for an event), "
    "rbac (the accounts and their rights). For tekton and argo.",
)
@click.option(
    "--param", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter of the run."
)
@click.option(
    "--bindings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Which events start it; the bindings that come with Coalmine unless given.",
)
@click.option(
    "--namespace",
    default="default",
    show_default=True,
    help="Where the manifests will stand; said only where Kubernetes wants it.",
)
@click.option(
    "--via",
    type=click.Choice(["kfp-tekton"]),
    help="For a source in the DSL of kfp 1.8: a PipelineRun made by kfp-tekton, in an environment "
    "of its own, made valid for Tekton v1.",
)
@click.option(
    "--guard-image",
    default="",
    help="For tekton: an image with python3, for tasks that compare the numbers in conditions. "
    "Default: that of the first Python function, else python:3.11-slim.",
)
@click.option("--pipeline", default="", help="Which pipeline, where the source holds several.")
def command(
    *,
    pipeline_file: Path,
    target: str,
    output: Path | None,
    extras: str,
    parameters: tuple[str, ...],
    bindings: Path | None,
    namespace: str,
    via: str | None,
    guard_image: str,
    pipeline: str,
) -> None:
    """Compile PIPELINE for an engine.

    PIPELINE is a .py file in the Kubeflow Pipelines DSL, or KFP IR as .yaml. What the target
    cannot do is an error that names the task; see docs/compile-targets.md.
    """
    from coalmine.cli.written import write_output  # noqa: PLC0415 - `--help` is quick
    from coalmine.compiler.targets import Target, compile_pipeline  # noqa: PLC0415

    if via:
        from coalmine.cli.via import compile_via  # noqa: PLC0415

        compile_via(pipeline_file, target, parameters, pipeline, extras, output)
        return
    beside = None
    if (parameters or bindings) and not extras:
        raise click.UsageError("--param and --bindings say what --with writes; give it too")
    if extras:
        from coalmine.cli.beside import beside_pipeline  # noqa: PLC0415

        beside = beside_pipeline(extras, parameters, bindings, namespace)
    compiled = compile_pipeline(
        pipeline_file,
        Target(target),
        pipeline=pipeline,
        beside=beside,
        guard_image=guard_image.strip(),
    )
    for note in compiled.notes:
        click.echo(f"Note: {note}", err=True)
    write_output(compiled.text, output)
