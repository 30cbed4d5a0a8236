"""From a pipeline, source or compiled, to what a target is given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from coalmine._base.errors import InputError
from coalmine.compiler.source import compile_source

if TYPE_CHECKING:
    from coalmine.compiler.around import Extra, Surroundings
    from coalmine.compiler.graph import Graph
    from coalmine.compiler.manifest import Manifest

__all__ = ["Beside", "Compiled", "Target", "compile_pipeline", "compile_targets", "read_pipeline"]


class Target(StrEnum):
    """What a pipeline compiles to."""

    KFP = "kfp"
    TEKTON = "tekton"
    ARGO = "argo"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The result.

    Attributes:
        text: YAML, ready to be written to a file.
        notes: What the target cannot say or its user has to see to, a sentence each.
    """

    text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What is wanted beside the pipeline, in the same text.

    Attributes:
        extras: Which objects.
        given: What they are made from.
    """

    extras: tuple[Extra, ...]
    given: Surroundings


def compile_pipeline(
    path: Path,
    target: Target,
    *,
    pipeline: str = "",
    beside: Beside | None = None,
    guard_image: str = "",
) -> Compiled:
    """Compile a pipeline for one target; see ``compile_targets``.

    Args:
        path: A .py source, or KFP IR as .yaml, .yml or .json.
        target: What to compile to.
        pipeline: Which pipeline of a source, where it has several.
        beside: What else is wanted; Tekton and Argo only.
        guard_image: See ``compile_targets``.

    Raises:
        InputError: See ``compile_targets``; or something beside the pipeline is wrong.
    """
    if beside is None:
        made = compile_targets(path, [target], pipeline=pipeline, guard_image=guard_image)
        return made[target]
    if target is Target.KFP:
        raise InputError(
            "stands beside a pipeline on tekton and argo only",
            field="--with",
            fix="on Kubeflow Pipelines a run is submitted, see: coalmine schedule",
        )
    graph = read_pipeline(path, pipeline=pipeline)
    return _lowered(graph, target, path, guard_image, beside)


def compile_targets(
    path: Path, targets: Collection[Target], *, pipeline: str = "", guard_image: str = ""
) -> dict[Target, Compiled]:
    """Compile a pipeline for several targets, reading it once.

    The same pipeline gives the same bytes on every machine: no time and no absolute path is in
    the result.

    Args:
        path: A .py source, or KFP IR as .yaml, .yml or .json.
        targets: What to compile to.
        pipeline: Which pipeline of a source, where it has several.
        guard_image: An image with ``python3`` for what compares numbers on Tekton; empty for that
            of the pipeline's first Python function, or else one with nothing more.

    Raises:
        InputError: The pipeline is wrong, or asks for something that one of the targets cannot do.
    """
    text = _ir(path, pipeline)
    graph = None
    if set(targets) - {Target.KFP}:
        graph = _read(text, path)
    elif path.suffix != ".py":
        _check_compiled(text, path)
    return {
        target: _lowered(graph, target, path, guard_image)
        if graph and target is not Target.KFP
        else Compiled(text)
        for target in targets
    }


def read_pipeline(path: Path, *, pipeline: str = "") -> Graph:
    """Read a pipeline, source or compiled, as the flat graph; see ``compile_pipeline``."""
    return _read(_ir(path, pipeline), path)


def _read(text: str, path: Path) -> Graph:
    graph: Graph = _import_reader().read_graph_text(text, source=str(path))
    return graph


def _import_all() -> None:
    """Import what reads IR and lowers it: it is heavy, and a source gives the time to do it in."""
    _import_reader()
    for target in (Target.TEKTON, Target.ARGO):
        _import_target(target)


def _import_target(target: Target) -> ModuleType:
    return import_module(f"coalmine.compiler.{target}")


def _import_reader() -> ModuleType:
    return import_module("coalmine.compiler.ir")


def _ir(path: Path, pipeline: str) -> str:
    if not path.is_file():
        raise InputError(
            "does not exist", field=str(path), fix="give a .py file or a compiled .yaml"
        )
    if path.suffix == ".py":
        return compile_source(path, pipeline=pipeline, meanwhile=_import_all)
    if path.suffix not in {".yaml", ".yml", ".json"}:
        raise InputError(
            "is neither a pipeline source nor a compiled pipeline",
            field=str(path),
            fix="give a .py file, or KFP IR as .yaml",
        )
    text: str = _import_document().read_text(path)
    return text


def _import_document() -> ModuleType:
    return import_module("coalmine.compiler.ir.document")


def _check_compiled(text: str, path: Path) -> None:
    try:
        first = _import_document().load_documents(text)[0]
    except InputError as error:
        raise InputError(error.message, field=str(path), fix=error.fix) from None
    if "schemaVersion" not in first:
        raise InputError(
            "holds no compiled pipeline: schemaVersion is missing",
            field=str(path),
            fix="give a file that the KFP 2 compiler has written, or a .py file",
        )


def _lowered(
    graph: Graph, target: Target, path: Path, guard_image: str, beside: Beside | None = None
) -> Compiled:
    asked = {"guard_image": guard_image} if target is Target.TEKTON and guard_image else {}
    try:
        manifest: Manifest = _import_target(target).lower(graph, **asked)
    except InputError as error:
        raise InputError(error.message, field=str(path), fix=error.fix) from None
    command = f"coalmine compile {_shown(path)} --target {target}"
    command += "".join(f" --guard-image {image}" for image in asked.values())
    others: list[Manifest] = []
    if beside is not None:
        command += f" --with {','.join(beside.extras)} --namespace {beside.given.namespace}"
        others = _beside(graph, target, beside)
    text = manifest.to_yaml(header=(f"Made by: {command}", "Do not edit."))
    return Compiled("---\n".join([text, *(item.to_yaml() for item in others)]), manifest.notes)


def _beside(graph: Graph, target: Target, beside: Beside) -> list[Manifest]:
    from coalmine.compiler.around import surround  # noqa: PLC0415 - only where it is asked for
    from coalmine.compiler.manifest import Manifest  # noqa: PLC0415

    objects = surround(graph, target, beside.extras, beside.given)
    return [Manifest(document) for document in objects]


def _shown(path: Path) -> str:
    """Show a path as it is seen from here, never the absolute one."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name
