from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.compiler.manifest import Manifest
from coalmine.compiler.via import environment, modernise

TASK: dict[str, Any] = {
    "name": "say",
    "taskSpec": {
        "stepTemplate": {"resources": {"limits": {"cpu": "1"}}},
        "steps": [
            {"name": "main", "image": "i", "resources": {"requests": {"memory": "1Gi"}}},
            {"name": "other", "image": "i"},
        ],
    },
}
RUN: dict[str, Any] = {
    "apiVersion": "tekton.dev/v1beta1",
    "kind": "PipelineRun",
    "metadata": {"name": "once", "annotations": {"a": "b"}},
    "spec": {
        "serviceAccountName": "me",
        "podTemplate": {"nodeSelector": {"a": "b"}},
        "taskRunSpecs": [{"pipelineTaskName": "say", "taskServiceAccountName": "you"}],
        "params": [{"name": "text", "value": ""}, {"name": "more", "value": "m"}],
        "pipelineSpec": {
            "params": [{"name": "text"}, {"name": "more", "default": "m"}],
            "tasks": [TASK],
            "finally": [{**TASK, "name": "last"}],
        },
    },
}


def test_a_run_of_old_is_one_that_v1_takes(check_manifest: Callable[[str], int]) -> None:
    run, notes = modernise(yaml.safe_dump(RUN), {"text": "hello"})
    check_manifest(Manifest(run).to_yaml())
    assert run["metadata"] == {"generateName": "once-", "annotations": {"a": "b"}}
    spec = run["spec"]
    assert spec["timeouts"] == {"pipeline": "0"}
    assert spec["params"] == [{"name": "text", "value": "hello"}]
    assert spec["taskRunTemplate"]["serviceAccountName"] == "me"
    assert spec["taskRunSpecs"] == [{"pipelineTaskName": "say", "serviceAccountName": "you"}]
    for task in (*spec["pipelineSpec"]["tasks"], *spec["pipelineSpec"]["finally"]):
        step, other = task["taskSpec"]["steps"]
        assert step["computeResources"] == {"requests": {"memory": "1Gi"}}
        assert "resources" not in step
        assert "computeResources" not in other
    assert notes == ()


def test_a_limit_of_its_own_is_kept() -> None:
    run = {**RUN, "spec": {**RUN["spec"], "timeout": "30m"}}
    assert modernise(yaml.safe_dump(run), {"text": "x"})[0]["spec"]["timeouts"]["pipeline"] == "30m"


@pytest.mark.parametrize(
    ("parameters", "said"), [({}, "needs: text"), ({"text": "a", "x": "b"}, "does not take: x")]
)
def test_parameters_that_do_not_fit(parameters: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        modernise(yaml.safe_dump(RUN), parameters)


def test_what_does_not_run_everywhere_is_told() -> None:
    loop = {"name": "loop", "taskSpec": {"apiVersion": "custom.tekton.dev/v1alpha1"}}
    run = {"metadata": {"name": "x"}, "spec": {"pipelineSpec": {"tasks": [loop]}}}
    _, notes = modernise(yaml.safe_dump(run), {})
    assert "custom tasks" in notes[0]


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    for words in ("--target argo --via kfp-tekton", "--target tekton --via kfp-tekton --with rbac"):
        done = CliRunner().invoke(cli, ["compile", str(source), *words.split()])
        assert isinstance(done.exception, InputError)
        assert "--via kfp-tekton: makes a run for tekton" in str(done.exception)
    done = CliRunner().invoke(
        cli, ["compile", str(source), *["--target", "tekton", "--via", "kfp-tekton"]]
    )
    assert "is no pipeline source" in str(done.exception)


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("import sys; sys.exit('it holds 2 pipelines') or 3", CoalmineError, "no environment"),
        ("raise ValueError('no luck')", InputError, "ValueError: no luck"),
        ("import sys; sys.stderr.write('it holds 2'); sys.exit(3)", InputError, "it holds 2"),
    ],
)
def test_how_an_end_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    kind: type[CoalmineError],
    said: str,
) -> None:
    source = tmp_path / "a.py"
    source.write_text("")
    monkeypatch.setattr(environment, "_python", lambda: [sys.executable, "-c", script])
    with pytest.raises(kind, match=said):
        environment.compile_v1(source, "tekton")
