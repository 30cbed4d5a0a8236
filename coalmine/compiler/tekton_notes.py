"""What whoever runs a pipeline on Tekton has to know."""

from __future__ import annotations

from coalmine.compiler.graph import Graph
from coalmine.compiler.guards import Guarded
from coalmine.compiler.tekton_when import says_whole_numbers
from coalmine.compiler.tekton_wrap import WORKSPACE, has_workspace
from coalmine.compiler.wrap import note

__all__ = ["notes_of", "notes_of_guards"]

DEFAULT_RUN_TIMEOUT = 3600


def notes_of_guards(guarded: Guarded) -> list[str]:
    """Tell which tasks compare in Tekton's stead, and with what."""
    if not guarded.guards:
        return []
    names = ", ".join(guarded.guards)
    how = f"with python3 in {guarded.image} (--guard-image names another image)"
    return [f"Tekton cannot compare numbers; tasks of their own do, {how}: {names}."]


def notes_of(graph: Graph) -> tuple[str, ...]:
    """Tell where a pipeline is another one on Tekton, and what a run of it needs."""
    tasks = (*graph.tasks, *([graph.exit_task] if graph.exit_task else []))
    notes = []
    last = sorted(task.name for task in graph.tasks if task.behind)
    if last:
        notes.append(
            "What runs behind a failed task can only run at the very end on Tekton, after all "
            f"other tasks: {', '.join(last)}."
        )
    waiting = [task.name for task in tasks if task.retry and task.retry.backoff_seconds]
    if waiting:
        notes.append(
            f"Tekton retries at once; the wait between tries is left out for {', '.join(waiting)}."
        )
    if says_whole_numbers(graph):
        notes.append(
            "Tekton compares whole numbers as text: 5 is equal to 5, but not to 05 or +5. Outputs "
            "and parameters that a condition reads have to be written plainly."
        )
    notes += note(tasks)
    if has_workspace(graph):
        notes.append(
            f"The artifacts of a run are files in the workspace {WORKSPACE!r}, each named by its "
            "run, its task and its output: give the run a volume for it."
        )
    if sum(task.timeout_seconds or 0 for task in graph.tasks) >= DEFAULT_RUN_TIMEOUT:
        notes.append(
            "A PipelineRun ends after one hour unless it says more: set spec.timeouts.pipeline "
            'to "0" or to what the tasks may take together.'
        )
    return tuple(notes)
