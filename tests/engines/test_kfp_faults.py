"""Kubeflow Pipelines that fails: in each way that it can, and no run is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubeflow import Kubeflow, Trouble, serve_kubeflow

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.kfp.api import KfpApi
from coalmine.engines.kfp.engine import KfpEngine, name_of
from coalmine.engines.protocol import BusyError, RunState
from tests.engines.kubefix import read_once, request

NAME = name_of("r1")


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    with serve_kubeflow() as running:
        yield running


def _engine(kubeflow: Kubeflow, token: Path | None = None) -> KfpEngine:
    return KfpEngine(KfpApi(kubeflow.url, token_file=token), read_once, poll=0.0)


@pytest.fixture
def engine(kubeflow: Kubeflow) -> Iterator[KfpEngine]:
    made = _engine(kubeflow)
    yield made
    made.close()


@pytest.mark.parametrize("after", [False, True])
def test_an_answer_that_is_lost_makes_no_second_run(
    kubeflow: Kubeflow, engine: KfpEngine, *, after: bool
) -> None:
    kubeflow.troubles.append(Trouble("POST", "/runs$", after=after))
    with pytest.raises(CoalmineError, match="does not answer"):
        engine.submit(request())
    assert bool(engine.status("r1")) is after
    engine.submit(request())
    assert len(kubeflow.named(NAME)) == 1


@pytest.mark.parametrize("path", ["/experiments$", "/pipelines$", "upload_version"])
def test_what_was_made_although_the_answer_was_lost_is_taken(
    kubeflow: Kubeflow, engine: KfpEngine, path: str
) -> None:
    kubeflow.troubles.append(Trouble("POST", path.replace("upload_version", "upload_"), after=True))
    with pytest.raises(CoalmineError, match="does not answer"):
        engine.submit(request())
    engine.submit(request())
    counts = [len(kept) for kept in (kubeflow.experiments, kubeflow.pipelines, kubeflow.versions)]
    assert (counts, len(kubeflow.runs)) == ([1, 1, 1], 1)


def test_a_second_run_of_a_name_is_ended_and_the_oldest_counts(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    engine.submit(request())
    (first,) = kubeflow.named(NAME)
    copied = {key: first[key] for key in first if key not in {"run_id", "created_at", "state"}}
    late = kubeflow.answer("POST", "/apis/v2beta1/runs", {}, copied)
    kubeflow.say(NAME, "RUNNING")
    other = _engine(kubeflow)
    status = other.status("r1")
    other.close()
    assert status is not None
    assert status.state is RunState.RUNNING
    assert kubeflow.runs[late["run_id"]]["state"] == "CANCELING"
    assert kubeflow.runs[first["run_id"]]["state"] == "RUNNING"


def test_an_installation_with_too_much_to_do_says_when_to_come_again(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    kubeflow.troubles.append(Trouble("POST", "/runs$", 429, headers={"retry-after": "9"}))
    with pytest.raises(BusyError) as busy:
        engine.submit(request())
    assert busy.value.retry_after == 9


@pytest.mark.parametrize(("code", "wrong"), [(400, True), (403, False), (500, False)])
def test_what_is_refused_for_good_is_wrong_input(
    kubeflow: Kubeflow, engine: KfpEngine, code: int, *, wrong: bool
) -> None:
    kubeflow.troubles.append(Trouble("POST", "/runs$", code))
    with pytest.raises(CoalmineError, match="on purpose") as found:
        engine.submit(request())
    assert isinstance(found.value, InputError) is wrong


def test_a_token_is_shown_and_read_again_when_it_was_renewed(
    kubeflow: Kubeflow, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    kubeflow.token = "one"
    engine = _engine(kubeflow, token)
    engine.submit(request())
    kubeflow.token = "two"
    with pytest.raises(CoalmineError, match="401"):
        engine.status("r1")
    token.write_text("two\n")
    assert engine.status("r1")
    engine.close()


def test_a_token_that_no_header_can_carry_is_not_told(kubeflow: Kubeflow, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\ns3cret\n")
    engine = _engine(kubeflow, token)
    with pytest.raises(CoalmineError, match="a header cannot carry") as caught:
        engine.submit(request())
    assert "s3cret" not in str(caught.value)
    engine.close()


@pytest.mark.parametrize("kept", [["experiments"], ["versions"], ["pipelines", "versions"]])
def test_what_somebody_deleted_is_made_anew(
    kubeflow: Kubeflow, engine: KfpEngine, kept: list[str]
) -> None:
    engine.submit(request())
    for name in kept:
        getattr(kubeflow, name).clear()
    with pytest.raises(CoalmineError, match="404"):
        engine.submit(request("r2"))
    engine.submit(request("r2"))
    assert len(kubeflow.named(name_of("r2"))) == 1


@pytest.mark.parametrize("path", ["/experiments$", "/pipelines$", "/pipelines/upload_version"])
def test_what_exists_and_is_not_found_is_told(
    kubeflow: Kubeflow, engine: KfpEngine, path: str
) -> None:
    kubeflow.troubles.append(Trouble("POST", path, code=409))
    with pytest.raises(CoalmineError, match="exists, and does not find it"):
        engine.submit(request())
