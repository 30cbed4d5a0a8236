"""What a run's tasks say, and what a release comes to by it: every way in which a run may end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from coalmine.engines.protocol import RunState, RunStatus, TaskState, TaskStatus
from coalmine.launcher.facts import Facts, final_facts, final_state, read_facts
from coalmine.launcher.release import ReleaseState

FAILED, SKIPPED = TaskState.FAILED, TaskState.SKIPPED
GONE = {"rolled_back", "removed"}
WAYS: dict[str, tuple[str | TaskState, ...]] = {
    "promote": ("promoted", FAILED, SKIPPED),
    "rollback": ("rolled_back", "removed", "unchanged", "promoted", FAILED, SKIPPED),
    "finalize": ("rolled_back", "removed", "unchanged", "promoted", FAILED, SKIPPED),
}
"""How each task of a run may end: with an outcome, or without one."""


def _task(name: str, end: str | TaskState) -> TaskStatus:
    if isinstance(end, TaskState):
        return TaskStatus(name, end)
    return TaskStatus(name, TaskState.SUCCEEDED, 1, outputs={"outcome": end})


def every_run() -> Iterator[RunStatus]:
    for ends in product(*WAYS.values()):
        tasks = tuple(_task(name, end) for name, end in zip(WAYS, ends, strict=True))
        states = [RunState.CANCELLED, RunState.FAILED]
        # A run may fail although no task did, but it cannot succeed if one failed.
        states += [RunState.SUCCEEDED] * (FAILED not in ends)
        for state in states:
            yield RunStatus("r1", state, tasks, at_the_end=frozenset({"finalize"}))


def _said(run: RunStatus, *, at_the_end: bool = True) -> set[str]:
    tasks = [one for one in run.tasks if at_the_end or one.name not in run.at_the_end]
    return {one.outputs["outcome"] for one in tasks if one.outputs}


def test_what_a_release_came_to_however_its_run_ended() -> None:
    seen = set()
    for run in every_run():
        facts = read_facts(run.tasks)
        state = final_state(run, facts)
        seen.add(state)
        match state:
            case ReleaseState.PROMOTED:
                assert "promoted" in _said(run)
            case ReleaseState.CANCELLED:
                assert run.state is RunState.CANCELLED
                assert "promoted" not in _said(run)
            case ReleaseState.ROLLED_BACK:
                assert run.state is not RunState.CANCELLED
                assert _said(run) & GONE
                assert run.state is RunState.SUCCEEDED or _said(run, at_the_end=False) & GONE
            case _:
                assert run.state in {RunState.FAILED, RunState.SUCCEEDED}
                assert not _said(run, at_the_end=False) & {"promoted", *GONE}
                assert run.state is RunState.FAILED or not _said(run) & GONE
                assert final_facts(run, facts).reason
    assert seen == {
        ReleaseState.PROMOTED,
        ReleaseState.CANCELLED,
        ReleaseState.ROLLED_BACK,
        ReleaseState.FAILED,
    }


def test_what_became_of_the_service_is_told_whatever_became_of_the_release() -> None:
    for run in every_run():
        outcome, said = read_facts(run.tasks).outcome, _said(run)
        if "promoted" in said:
            assert outcome == "promoted"
        elif said & GONE:
            assert outcome in GONE
        else:
            assert outcome == ("unchanged" if said else "")


@pytest.mark.parametrize(
    ("ends", "state", "expected"),
    [
        # The gate or the canary failed, and only the end of the run cleared up.
        ((SKIPPED, SKIPPED, "rolled_back"), RunState.FAILED, "failed"),
        ((SKIPPED, SKIPPED, "removed"), RunState.FAILED, "failed"),
        # The branch of the roll-back ran: even before the canary had traffic, and whatever was
        # after it.
        ((SKIPPED, "removed", "removed"), RunState.SUCCEEDED, "rolled_back"),
        ((SKIPPED, "rolled_back", FAILED), RunState.FAILED, "rolled_back"),
        ((SKIPPED, "rolled_back", "unchanged"), RunState.SUCCEEDED, "rolled_back"),
        # A promotion that was refused, and one whose answer was lost.
        ((FAILED, SKIPPED, "rolled_back"), RunState.FAILED, "failed"),
        ((FAILED, SKIPPED, "promoted"), RunState.FAILED, "promoted"),
        # A pipeline that leaves the roll-back to its end.
        ((SKIPPED, SKIPPED, "rolled_back"), RunState.SUCCEEDED, "rolled_back"),
        ((SKIPPED, SKIPPED, "rolled_back"), RunState.CANCELLED, "cancelled"),
        ((SKIPPED, SKIPPED, "unchanged"), RunState.SUCCEEDED, "failed"),
    ],
)
def test_one_by_one(ends: tuple[str | TaskState, ...], state: RunState, expected: str) -> None:
    tasks = tuple(_task(name, end) for name, end in zip(WAYS, ends, strict=True))
    run = RunStatus("r1", state, tasks, at_the_end=frozenset({"finalize"}))
    assert final_state(run, read_facts(run.tasks)) == expected


def test_the_last_task_has_the_last_word() -> None:
    tasks = [
        TaskStatus("a", outputs={"outcome": "rolled_back", "reason": "r", "other": "x"}),
        TaskStatus("b", outputs={"outcome": "promoted", "reason": ""}),
    ]
    assert read_facts(tasks) == Facts(outcome="promoted", reason="r")
    behind = TaskStatus("c", outputs={"outcome": "unchanged", "reason": "s"})
    assert read_facts([*tasks, behind]) == Facts(outcome="promoted", reason="s")
    run = RunStatus("r1", RunState.FAILED, message="b: broke")
    assert final_facts(run, Facts(reason="r")).reason == "b: broke"
