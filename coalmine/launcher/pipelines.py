"""From a pipeline's name to its compiled file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import coalmine
from coalmine._base.errors import CoalmineError, InputError
from coalmine.compiler.graph import Graph
from coalmine.launcher.bindings import Binding
from coalmine.launcher.bindings_file import load_bindings

__all__ = [
    "ALWAYS_GIVEN",
    "check_bindings",
    "find_pipeline",
    "judges_of",
    "load_checked",
    "named_engines",
    "pipeline_folders",
]

LOCAL = "local"
ALWAYS_GIVEN = ("release_id", "service")


def pipeline_folders(chosen: Path | None = None) -> tuple[Path, ...]:
    """List where pipelines may stand: the chosen folder, or the package's and the checkout's."""
    package = Path(coalmine.__file__).parent
    return (chosen,) if chosen else (package / "_pipelines", package.parent / "compiled" / "kfp")


def find_pipeline(name: str, folders: Iterable[Path]) -> Path:
    """Find a pipeline's KFP IR file.

    Raises:
        InputError: There is none; the message says where one was looked for.
    """
    tried = [folder / f"{name}.yaml" for folder in folders]
    for path in tried:
        if "/" not in name and path.is_file():
            return path
    raise InputError(
        f"there is no compiled pipeline {name} at {' or '.join(map(str, tried))}",
        fix="compile it with make compile, or name its folder with --pipelines",
    )


def judges_of(path: Path, read_graph: Callable[[Path], Graph]) -> frozenset[str]:
    """Name the tasks of a pipeline that give a verdict; none where it cannot be read."""
    try:
        graph = read_graph(path)
    except CoalmineError:
        return frozenset()
    return frozenset(
        task.name for task in graph.tasks if any(one.name == "verdict" for one in task.outputs)
    )


def load_checked(
    path: Path | None,
    folders: Sequence[Path],
    read_graph: Callable[[Path], Graph],
    engines: Sequence[str] = (LOCAL,),
) -> tuple[Binding, ...]:
    """Read a bindings file, and see that its engines and pipelines are there.

    Args:
        path: The file; None for the default bindings.
        folders: Where pipelines may stand.
        read_graph: Reads a pipeline file.
        engines: Those there are.

    Raises:
        InputError: The file is wrong, or asks for what is not there.
    """
    bindings = load_bindings(path)
    if path is None:
        bindings = tuple(_offering(binding, folders) for binding in bindings)
    check_bindings(bindings, engines, lambda name: find_pipeline(name, folders), read_graph)
    return bindings


def named_engines(path: Path | None) -> tuple[str, ...]:
    """List the engines that a bindings file names, the local one first, which is always there.

    Raises:
        InputError: The file is wrong.
    """
    named = {binding.engine for binding in load_bindings(path)}
    return (LOCAL, *sorted(named - {LOCAL}))


def check_bindings(
    bindings: Iterable[Binding],
    engines: Iterable[str],
    find: Callable[[str], Path],
    read_graph: Callable[[Path], Graph],
) -> None:
    """See that every binding names an engine and a pipeline, and gives the pipeline what it takes.

    Raises:
        InputError: One does not; better now than at the first event.
    """
    known = sorted(engines)
    for binding in bindings:
        if binding.engine not in known:
            raise InputError(
                f"there is no engine {binding.engine}",
                field=f"binding {binding.name}",
                fix=f"use one of: {', '.join(known)}",
            )
        for pipeline in (binding.pipeline, *binding.pipelines):
            _check_parameters(binding, read_graph(find(pipeline)))


def _offering(binding: Binding, folders: Sequence[Path]) -> Binding:
    """Leave out of a default binding what a folder of one's own does not hold."""
    there = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    return replace(binding, pipelines=tuple(one for one in binding.pipelines if one in there))


def _check_parameters(binding: Binding, graph: Graph) -> None:
    given = {*ALWAYS_GIVEN, *(parameter.name for parameter in binding.parameters)}
    taken = {parameter.name for parameter in graph.parameters}
    required = {one.name for one in graph.parameters if one.default is None}
    for names, what in ((given - taken, "does not take"), (required - given, "also needs")):
        if names:
            raise InputError(
                f"the pipeline {graph.name} {what}: {', '.join(sorted(names))}",
                field=f"binding {binding.name}",
            )
