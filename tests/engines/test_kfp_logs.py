"""What a task on Kubeflow Pipelines has written, by a server that speaks its API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubeflow import Kubeflow, Trouble, serve_kubeflow

from coalmine._base.errors import CoalmineError
from coalmine.engines.kfp.api import KfpApi, KfpError
from coalmine.engines.kfp.engine import KfpEngine, name_of
from coalmine.engines.kfp.logs import BYTES_A_SECOND, LARGEST, MOST, NOTICE, part_of
from coalmine.engines.kfp.pods import pod_of
from coalmine.engines.protocol import BusyError
from tests.engines.kubefix import read_once, request

IMPL = "system-container-impl"
GATE = "release-x-retry-system-container-impl-12"
LINES = b"one\ntwo\n"


def _node(key: str, name: str, kind: str, inside: str, **more: str) -> dict[str, Any]:
    made = {"id": f"release-x-{key}", "displayName": name, "type": kind, "phase": "Succeeded"}
    return {**made, "boundaryID": f"release-x-{inside}", "startedAt": f"T{key}", **more}


def _workflow(*nodes: Mapping[str, Any], **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "release-x", "annotations": annotations},
        "status": {"nodes": {one["id"]: one for one in nodes}},
    }


RETRIED = _workflow(
    _node("08", "gate-driver", "Pod", "01", templateName="system-container-driver"),
    _node("09", "gate", "DAG", "01", templateName="retry-system-container-executor"),
    _node("10", "executor", "Retry", "09", templateName=f"retry-{IMPL}"),
    _node("11", "executor(0)", "Pod", "09", templateName=f"retry-{IMPL}", phase="Failed"),
    _node("12", "executor(1)", "Pod", "09", templateName=f"retry-{IMPL}", phase="Running"),
    _node("13", "executor(2)", "Pod", "09", templateName=f"retry-{IMPL}", phase="Pending"),
    _node("14", "promote-driver", "Pod", "01", templateName="system-container-driver"),
    _node("15", "promote", "DAG", "01", templateName="system-container-executor"),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Kubeflow]:
    with serve_kubeflow() as made:
        yield made


@pytest.fixture
def kubeflow(running: Kubeflow) -> Kubeflow:
    for kept in (running.runs, running.workflows, running.logs, running.troubles, running.asked):
        kept.clear()
    running.token = ""
    return running


@pytest.fixture
def engine(kubeflow: Kubeflow) -> Iterator[KfpEngine]:
    made = KfpEngine(KfpApi(kubeflow.url), read_once)
    yield made
    made.close()


def _submit(kubeflow: Kubeflow, engine: KfpEngine, log: bytes | str | None = LINES) -> str:
    engine.submit(request())
    (run,) = kubeflow.named(name_of("r1"))
    kubeflow.workflows[run["run_id"]] = RETRIED
    if log is not None:
        kubeflow.logs[run["run_id"], GATE] = log
    return str(run["run_id"])


def test_a_log_is_that_of_the_newest_try_from_a_byte_on(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    assert engine.logs("r1", "gate") == b""
    _submit(kubeflow, engine)
    assert engine.logs("r1", "gate") == LINES
    assert engine.logs("r1", "gate", 4) == b"two\n"
    assert engine.logs("r1", "gate", len(LINES)) == b""
    assert engine.logs("r1", "promote") == b""
    assert engine.logs("r1", "nobody") == b""


def test_a_run_without_a_workflow_yet_has_written_nothing(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    engine.submit(request())
    assert engine.logs("r1", "gate") == b""
    assert not kubeflow.said("GET", "/v1alpha1/")


def test_an_exit_task_that_was_run_alone_has_its_log_from_there(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    _submit(kubeflow, engine)
    kubeflow.say(name_of("r1"), "CANCELED", gate="CANCELED")
    engine.status("r1")
    (after,) = kubeflow.named(f"{name_of('r1')}-exit")
    kubeflow.workflows[after["run_id"]] = _workflow(
        _node("1", "finalize", "DAG", "0"), _node("2", "executor", "Pod", "1", templateName=IMPL)
    )
    kubeflow.logs[after["run_id"], f"release-x-{IMPL}-2"] = b"the canary is gone\n"
    assert engine.logs("r1", "finalize") == b"the canary is gone\n"


def test_a_large_log_comes_in_parts_and_ends_with_a_notice(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    whole = bytes(range(256)) * (LARGEST // 256 + 1)
    _submit(kubeflow, engine, whole)
    found, parts = b"", []
    while part := engine.logs("r1", "gate", len(found)):
        parts.append(len(part))
        found += part
    assert max(parts) == MOST
    assert found == whole[:LARGEST] + NOTICE


def test_to_follow_a_log_costs_so_much_a_second_however_long_it_gets(
    kubeflow: Kubeflow,
) -> None:
    now = [0.0]
    engine = KfpEngine(KfpApi(kubeflow.url), read_once, monotonic=lambda: now[0])
    run = _submit(kubeflow, engine)
    kubeflow.say(name_of("r1"), "RUNNING", gate="RUNNING")
    line, log, seen, given = b"x" * 20_000 + b"\n", b"", b"", 0
    for second in range(60):
        now[0] = float(second)
        log += line
        kubeflow.logs[run, GATE] = log
        before = len(kubeflow.said("GET", "/log"))
        seen += engine.logs("r1", "gate", len(seen))
        given += (len(kubeflow.said("GET", "/log")) - before) * len(log)
    assert given < 60 * BYTES_A_SECOND, "whole each second it would be 37 MB"
    assert len(seen) > len(log) // 2
    kubeflow.say(name_of("r1"), "SUCCEEDED", gate="SUCCEEDED")
    now[0] += 3.0
    seen += engine.logs("r1", "gate", len(seen))
    assert seen == log, "nothing is held back once the task has ended"
    engine.close()


def test_a_container_that_is_still_being_made_has_written_nothing(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    _submit(kubeflow, engine, f'container "main" in pod "{GATE}" is waiting to start: PodInit')
    assert engine.logs("r1", "gate") == b""


def test_a_pod_that_is_gone_and_was_not_archived_is_told(
    kubeflow: Kubeflow, engine: KfpEngine
) -> None:
    _submit(kubeflow, engine, None)
    with pytest.raises(
        KfpError, match=f'no log of gate to give: .*500.*"{GATE}" not found'
    ) as gone:
        engine.logs("r1", "gate")
    assert "archive their logs" in gone.value.fix


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
@pytest.mark.parametrize(
    ("code", "fix"),
    [(404, "/apis/v1alpha1/runs through"), (401, "token"), (403, "rights"), (500, "archive")],
)
def test_a_refusal_is_told_with_what_to_do(
    kubeflow: Kubeflow, engine: KfpEngine, version: str, code: int, fix: str
) -> None:
    _submit(kubeflow, engine)
    kubeflow.troubles.append(Trouble("GET", f"/{version}/", code))
    with pytest.raises(KfpError, match="on purpose") as refused:
        engine.logs("r1", "gate")
    assert fix in refused.value.fix
    assert engine.logs("r1", "gate") == LINES


def test_a_server_that_is_busy_or_silent_is_told(kubeflow: Kubeflow, engine: KfpEngine) -> None:
    _submit(kubeflow, engine)
    kubeflow.troubles.append(Trouble("GET", "/log$", 429, headers={"retry-after": "7"}))
    with pytest.raises(BusyError) as busy:
        engine.logs("r1", "gate")
    assert busy.value.retry_after == 7
    kubeflow.troubles.append(Trouble("GET", "/log$"))
    with pytest.raises(CoalmineError, match="does not answer"):
        engine.logs("r1", "gate")


def test_a_token_is_shown_for_logs_too(kubeflow: Kubeflow, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    kubeflow.token = "one"
    engine = KfpEngine(KfpApi(kubeflow.url, token_file=token), read_once)
    _submit(kubeflow, engine)
    assert engine.logs("r1", "gate") == LINES
    kubeflow.token = "two"
    token.write_text("two\n")
    assert engine.logs("r1", "gate") == LINES
    engine.close()


def test_pods_are_named_as_argo_of_their_time_names_them() -> None:
    inline = _node("2", "executor", "Pod", "1") | {"name": "release-x.inline.executor"}
    group = _node("1", "gate", "DAG", "0")
    assert pod_of(RETRIED, "gate") == GATE
    assert pod_of(_workflow(group, inline), "gate") == "release-x-2"
    old = {"workflows.argoproj.io/pod-name-format": "v1"}
    assert pod_of(_workflow(*RETRIED["status"]["nodes"].values(), **old), "gate") == "release-x-12"
    assert pod_of({}, "gate") == ""


@given(st.lists(st.binary(max_size=6), max_size=6), st.integers(0, 40), st.integers(1, 40))
def test_a_part_is_the_slice_and_reads_no_further(
    parts: list[bytes], start: int, most: int
) -> None:
    left = iter(parts)
    assert part_of(left, start, most) == b"".join(parts)[start : start + most]
    read = b"".join(parts[: len(parts) - len(list(left))])
    assert len(read) < start + most + 6
