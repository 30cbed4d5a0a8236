from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.steps.contract import (
    STEPS,
    Step,
    Surroundings,
    artifact,
    given,
    input_fields,
    load_step,
    optional,
    variable_of,
)
from coalmine.steps.runner import parse_inputs, run_step


@dataclass(frozen=True, slots=True)
class Inputs:
    name: str = given("A name.")
    percent: int = optional("A share.", 10)
    limit: float = optional("A limit.", 0.5, setting=True)


@dataclass(frozen=True, slots=True)
class Outputs:
    greeting: str


def _greet(inputs: Inputs, surroundings: Surroundings) -> Outputs:
    return Outputs(f"hello {inputs.name} {inputs.percent} {inputs.limit}\n")


def _step(run: Callable[[Inputs, Surroundings], Outputs] = _greet) -> Step[Inputs, Outputs]:
    return Step("greet", "Greets.", Inputs, Outputs, run)


def _run(step: Step[Inputs, Outputs], folder: Path, **values: str) -> int:
    return run_step(
        step,
        values=values,
        output_paths={"greeting": folder / "deep" / "greeting"},
        environ={},
        surroundings=Surroundings(folder),
    )


def test_outputs_are_written_as_they_are(tmp_path: Path) -> None:
    assert _run(_step(), tmp_path, name="you") == 0
    assert (tmp_path / "deep" / "greeting").read_bytes() == b"hello you 10 0.5\n"


@dataclass(frozen=True, slots=True)
class Shown:
    greeting: str
    page: str = artifact("HTML", "A page.")


def test_an_artifact_is_for_people_and_fails_no_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "file").write_text("")
    greet = Step("greet", "Greets.", Inputs, Shown, lambda _inputs, _: Shown("hello", "<p>hi"))

    def outcome(page: Path) -> int:
        return run_step(
            greet,
            values={"name": "you"},
            output_paths={"page": page, "greeting": tmp_path / "greeting"},
            environ={},
            surroundings=Surroundings(tmp_path),
        )

    assert outcome(tmp_path / "page") == 0
    assert (tmp_path / "page").read_text() == "<p>hi"
    (tmp_path / "greeting").unlink()
    assert outcome(tmp_path / "file" / "page") == 0
    assert (tmp_path / "greeting").read_text() == "hello"
    assert "the artifact page was not written" in caplog.text
    assert "<p>hi" not in str([record.__dict__ for record in caplog.records])


def test_command_line_beats_environment_beats_default() -> None:
    environ = {"COALMINE_LIMIT": "0.7"}
    assert parse_inputs(_step(), {"name": "x", "limit": "0.6"}, environ).limit == 0.6
    assert parse_inputs(_step(), {"name": "x", "limit": ""}, environ).limit == 0.7
    assert parse_inputs(_step(), {"name": "x"}, {}).limit == 0.5


def test_only_a_setting_is_read_from_the_environment() -> None:
    environ = {"COALMINE_NAME": "env", "COALMINE_PERCENT": "20"}
    assert parse_inputs(_step(), {"name": "x", "percent": ""}, environ).percent == 10
    with pytest.raises(InputError, match="--name: is required"):
        parse_inputs(_step(), {}, environ)


def test_the_settings_of_the_release_steps() -> None:
    """An empty input of another kind (no stable version, no reason) is meant to be empty."""
    found = {
        spec.name for name in STEPS for spec in input_fields(load_step(name)) if variable_of(spec)
    }
    assert found == {
        "policy",
        "store",
        "contexts",
        "repository",
        "builder",
        "base_image",
        "platforms",
        "compression",
        "serving",
        "prometheus_url",
        "namespace",
        "launcher_url",
        "sign",
        "check_import",
        "import_python",
        "template",
        "probe",
        "preview",
        "mirror",
        "container",
        "on_crash",
    }


def test_the_help_names_the_variables_of_settings_alone() -> None:
    shown = CliRunner().invoke(cli, ["step", "gate", "--help"])
    assert "env: COALMINE_POLICY" in shown.output
    assert "COALMINE_STABLE" not in shown.output


def test_a_required_input_is_not_taken_from_the_command_lines_own_variables() -> None:
    environ = {"COALMINE_STEP_PROMOTE_RELEASE_ID": "r1", "COALMINE_STEP_PROMOTE_SERVICE": "s"}
    ended = CliRunner(env=environ).invoke(cli, ["step", "promote"])
    assert ended.exit_code == 2


@pytest.mark.parametrize("values", [{"percent": "10.5"}, {"percent": "ten"}, {"limit": "0,5"}])
def test_what_is_no_number_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"is no (int|float)"):
        parse_inputs(_step(), {"name": "x", **values}, {})


@pytest.mark.parametrize(
    ("error", "code", "fix"),
    [
        (CoalmineError("it failed", fix="try again"), 1, "try again"),
        (InputError("it failed", fix="give another"), 2, "give another"),
        (OSError("it failed"), 1, ""),
    ],
)
def test_a_failure_ends_with_its_code_and_its_message(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    code: int,
    fix: str,
) -> None:
    def fail(inputs: Inputs, surroundings: Surroundings) -> Outputs:
        raise error

    assert _run(_step(fail), tmp_path, name="x") == code
    last = caplog.records[-1]
    assert (last.levelno, last.getMessage()) == (logging.ERROR, "it failed")
    assert (last.__dict__["final"], last.__dict__["fix"]) == (True, fix)
    assert not (tmp_path / "deep").exists()


def test_an_output_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("in the way")
    assert _run(_step(), tmp_path, name="x") == 1
