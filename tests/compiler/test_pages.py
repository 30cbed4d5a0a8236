"""Pages for the interface of Kubeflow Pipelines: kept where they are wanted, else left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from coalmine.compiler.graph import Graph
from coalmine.compiler.pages import left_pages, note_pages, without_pages
from coalmine.compiler.piece import ArtifactPath, ExecutorText, Piece
from coalmine.compiler.task import Artifact, Task
from coalmine.compiler.value import TaskOutputRef

ROOT = Path(__file__).parent.parent.parent
PAGE = TaskOutputRef("judge", "report")
ARGS: tuple[Piece, ...] = (("--page",), (ArtifactPath("report", made=True),))
JUDGE = Task("judge", "judge", "i", args=ARGS, made=(Artifact("report", "system.HTML"),))


def test_a_page_that_nobody_takes_is_left_in_its_container() -> None:
    graph = Graph("g", (), (JUDGE,))
    (task,) = without_pages(graph).tasks
    assert task == replace(JUDGE, args=(("--page",), ("/tmp/coalmine-page-report",)), made=())
    (told,) = note_pages(graph)
    assert "report of judge" in told


def test_so_is_that_of_an_exit_task() -> None:
    graph = without_pages(Graph("g", (), (), exit_task=JUDGE))
    assert graph.exit_task is not None
    assert not graph.exit_task.made


TAKER = Task(
    "read", "read", "i", arguments=(("page", PAGE),), taken=(Artifact("page", "system.HTML"),)
)
INPUT: tuple[Piece, ...] = ((ExecutorText.INPUT,),)


@pytest.mark.parametrize(
    "graph",
    [
        Graph("g", (), (JUDGE, TAKER)),
        Graph("g", (), (JUDGE,), outputs=(("page", PAGE),)),
        Graph("g", (), (replace(JUDGE, made=(Artifact("report", "system.Model"),)),)),
        Graph("g", (), (replace(JUDGE, args=(*ARGS, *INPUT)),)),
    ],
    ids=["taken", "given out", "no page", "told of it by the executor input"],
)
def test_others_are_kept(graph: Graph) -> None:
    assert not left_pages(graph)
    assert without_pages(graph) == graph
    assert not note_pages(graph)


def test_the_release_needs_neither_a_volume_nor_an_artifact_repository() -> None:
    tekton = yaml.safe_load((ROOT / "compiled/tekton/release.yaml").read_text())
    assert "workspaces" not in tekton["spec"]
    argo = yaml.safe_load((ROOT / "compiled/argo/release.yaml").read_text())
    outputs = [one.get("outputs", {}) for one in argo["spec"]["templates"]]
    assert not any("artifacts" in one for one in outputs)
    kfp = next(yaml.safe_load_all((ROOT / "compiled/kfp/release.yaml").read_text()))
    made = kfp["components"]["comp-gate"]["outputDefinitions"]["artifacts"]
    assert made["report"]["artifactType"]["schemaTitle"] == "system.HTML"
