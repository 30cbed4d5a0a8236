"""The list of features, the code and the page say the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler import argo, tekton
from coalmine.compiler.features import BEGIN, END, FEATURES, Feature, table
from coalmine.compiler.ir import read_graph

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "compile-targets.md"
EXAMPLES = {
    "container component": "chain",
    "parameters: str, int, float, bool": "chain",
    "parameters: list and dict": "lists",
    "task outputs": "chain",
    "outputs of the whole pipeline": "pipeline_output",
    "artifacts between tasks": "artifacts",
    "artifacts that go into": "loop_of_artifacts",
    "artifacts out of the run": "functions",
    "lists of artifacts": "no_artifact_list",
    "one of several artifacts": "oneof_artifacts",
    "`dsl.OneOf` of imported": "no_oneof_gathered",
    "HTML and Markdown of": "pages",
    "`dsl.importer`:": "artifacts",
    "the path of what `dsl.importer`": "no_remote_path",
    "Python function components": "functions",
    "`dsl.ConcatPlaceholder`": "structures",
    "optional parameters of the pipeline": "optional",
    "such parameters in a condition": "optional_in_texts",
    "a command line that depends": "no_uncertain",
    "f-string arguments": "fstrings",
    "names of job and task": "facts",
    "root, times": "no_create_time",
    "`dsl.If`": "branches",
    "conditions: `==`, `!=` of an int or a bool": "equalities",
    "conditions: `<`": "otherwise",
    "conditions on a string with a quote": "no_quote",
    "conditions of an int, float or bool with a string": "no_int_as_text",
    "`after`": "chain",
    "sub-pipelines": "nested",
    "waiting for a group": "after_branches",
    "`dsl.ExitHandler` around the whole": "ended",
    "`dsl.ExitHandler` around a part": "partial_exit",
    "`ignore_upstream_failure` on": "ignored_failure",
    "`ignore_upstream_failure` with": "ignored_in_the_middle",
    "final status": "final_status",
    "`dsl.ParallelFor` over constants": "loop_of_dicts",
    "`dsl.ParallelFor` over parameters": "loop_over_outputs",
    "`parallelism`": "loop",
    "`dsl.Collected` of numbers": "loop_limited",
    "`dsl.Collected` of texts": "loop_of_texts",
    "`dsl.OneOf`": "oneof",
    "`dsl.OneOf` as an output": "oneof_output",
    "`set_retry`": "settings",
    "`kubernetes.set_timeout`": "settings",
    "`set_display_name`": "fstrings",
    "environment": "settings",
    "CPU and memory": "settings",
    "accelerators": "pods",
    "kfp-kubernetes: environment": "pods",
    "kfp-kubernetes: volumes": "pods",
    "kfp-kubernetes: pod labels": "pods",
    "kfp-kubernetes: node selectors": "placed",
    "kfp-kubernetes: names": "no_late_secret",
    "kfp-kubernetes: node affinity": "no_affinity",
}
"""A pipeline of the corpus for each feature, by the beginning of its name."""
COMPILE: dict[str, Callable[[Path], Any]] = {
    "local": read_graph,
    "tekton": lambda path: tekton.lower(read_graph(path)),
    "argo": lambda path: argo.lower(read_graph(path)),
}


def example_of(feature: Feature) -> str:
    found = [key for key in EXAMPLES if feature.name.startswith(key)]
    return EXAMPLES[max(found, key=len)]


@pytest.mark.parametrize("target", COMPILE)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_the_code_does_what_the_list_says(corpus: Path, feature: Feature, target: str) -> None:
    path = corpus / f"{example_of(feature)}.yaml"
    if getattr(feature, target):
        assert COMPILE[target](path)
    else:
        with pytest.raises(InputError) as caught:
            COMPILE[target](path)
        assert caught.value.fix


def test_every_example_is_of_a_feature() -> None:
    assert len(EXAMPLES) == len(FEATURES)
    assert {example_of(feature) for feature in FEATURES} == set(EXAMPLES.values())


def test_the_page_is_not_stale() -> None:
    written = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert written == table(), f"fix: python -m coalmine.compiler.features {PAGE.relative_to(ROOT)}"
