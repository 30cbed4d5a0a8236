from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
TARGETS = ["kfp", "tekton", "argo"]


Coalmine = Callable[..., subprocess.CompletedProcess[str]]


def as_a_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coalmine", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("target", ["kfp", "argo"])
def test_what_is_checked_in_is_not_stale(target: str) -> None:
    done = as_a_process("compile", "pipelines/release.py", "--target", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "compiled" / target / "release.yaml").read_text()
    assert str(ROOT) not in done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_ir_goes_the_same_way_as_its_source(
    coalmine: Coalmine, tmp_path: Path, target: str
) -> None:
    output = tmp_path / "made" / "release.yaml"
    done = coalmine("compile", "compiled/kfp/release.yaml", "--target", target, "-o", output)
    assert (done.returncode, done.stdout) == (0, "")
    checked_in = (ROOT / "compiled" / target / "release.yaml").read_text()
    made = output.read_text().replace("compiled/kfp/release.yaml", "pipelines/release.py")
    assert made == checked_in


def test_an_absolute_path_is_not_written_down(tmp_path: Path) -> None:
    source = ROOT / "compiled" / "kfp" / "release.yaml"
    start = "from coalmine.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "compile", source, "--target", "argo"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("# Made by: coalmine compile release.yaml --target argo\n")


def test_what_a_target_cannot_say_is_told(coalmine: Coalmine, tmp_path: Path) -> None:
    done = coalmine(
        "compile", "compiled/kfp/release.yaml", "--target", "tekton", "-o", tmp_path / "x.yaml"
    )
    assert "Note: Tekton retries at once" in done.stderr
    assert "# Note: Tekton retries at once" in (tmp_path / "x.yaml").read_text()


TWO = """
from kfp import dsl
@dsl.container_component
def tick():
    return dsl.ContainerSpec(image="i", command=["tick"])
@dsl.pipeline
def one():
    tick()
@dsl.pipeline(name="second")
def two():
    tick()
print("noise on stdout")
"""


def test_one_of_several_pipelines(coalmine: Coalmine, tmp_path: Path) -> None:
    source = tmp_path / "two.py"
    source.write_text(TWO)
    done = coalmine("compile", source, "--target", "tekton")
    assert done.returncode == 2
    assert "2 pipelines; found: one, two" in done.stderr
    assert "--pipeline" in done.stderr
    for name in ("two", "second"):
        done = coalmine("compile", source, "--target", "tekton", "--pipeline", name)
        assert yaml.safe_load(done.stdout)["metadata"]["name"] == "second"


@pytest.mark.parametrize(
    ("target", "file", "said"),
    [
        ("kfp", ("a.py", "def broken(:"), "SyntaxError"),
        ("argo", ("a.py", "x = 1"), "0 pipelines; found: none"),
        ("kfp", ("a.py", "raise ValueError('no luck')"), "ValueError: no luck"),
        ("argo", ("a.py", "import sys; sys.exit()"), "exit code 0"),
        ("kfp", ("a.yaml", "a: ["), "is no YAML"),
        ("argo", ("a.yaml", "a: ["), "is no YAML"),
        ("kfp", ("a.yaml", "kind: Workflow"), "schemaVersion is missing"),
        ("argo", ("a.yaml", "kind: Workflow"), "schemaVersion is missing"),
        ("argo", ("a.txt", "x"), "neither a pipeline source nor a compiled pipeline"),
        ("argo", ("absent.yaml", None), "does not exist"),
    ],
)
def test_wrong_input_exits_2_and_touches_nothing(
    coalmine: Coalmine, tmp_path: Path, target: str, file: tuple[str, str | None], said: str
) -> None:
    name, content = file
    source, output = tmp_path / name, tmp_path / "out.yaml"
    if content is not None:
        source.write_text(content)
    output.write_text("old")
    done = coalmine("compile", source, "--target", target, "-o", output)
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert output.read_text() == "old"


def test_a_refusal_names_task_feature_and_file(coalmine: Coalmine, corpus: Path) -> None:
    done = coalmine("compile", corpus / "no_quote.yaml", "--target", "argo")
    assert done.returncode == 2
    for part in ("no_quote.yaml, line ", "'condition-1'", "the condition"):
        assert part in done.stderr
    assert not done.stdout


def test_the_image_of_what_compares_is_asked_for(coalmine: Coalmine, corpus: Path) -> None:
    source = corpus / "otherwise.yaml"
    done = coalmine(
        "compile", source, "--target", "tekton", "--guard-image", "mirror.example.com/python:3"
    )
    assert done.stdout.count('image: "mirror.example.com/python:3"') == 2
    assert done.stdout.splitlines()[0].endswith(" --guard-image mirror.example.com/python:3")


def test_an_output_that_cannot_be_written_exits_1(coalmine: Coalmine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "out.yaml"
    done = coalmine("compile", "compiled/kfp/release.yaml", "--target", "argo", "-o", output)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize("target", ["argo", "tekton"])
def test_the_checked_in_manifests_hold(check_manifest: Callable[[str], int], target: str) -> None:
    check_manifest((ROOT / "compiled" / target / "release.yaml").read_text())
