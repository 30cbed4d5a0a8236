"""The demo fails when a promise is broken."""

from dataclasses import replace
from types import MappingProxyType

from coalmine.demo.load import Answer, Tally
from coalmine.demo.summary import Chapter, ReleaseRow, Summary, problems_of, row_of

GOOD = ReleaseRow(
    chapter=Chapter("v2", "better", "promoted"),
    release_id="r2",
    revision="iris-r2",
    state="promoted",
    verdict="promote",
    reason="all checks passed",
    steps=(("gate", 21.0),),
    report="r2.html",
)
BAD = replace(
    GOOD,
    chapter=Chapter("v3", "raises", "rolled_back", failing=True),
    release_id="r3",
    revision="iris-r3",
    state="rolled_back",
    steps=(("gate", 6.0),),
)
ROWS = (GOOD, BAD)
SEEN = {Answer("iris-r2", 200): 500, Answer("iris-r3", 200): 20, Answer("iris-r3", 500): 9}


def _problems(rows: tuple[ReleaseRow, ...], seen: dict[Answer, int]) -> tuple[str, ...]:
    return problems_of(rows, Tally(MappingProxyType(seen)), window_seconds=20)


def test_the_bad_models_own_failures_are_no_problem() -> None:
    assert _problems(ROWS, SEEN) == ()


def test_a_failure_of_the_good_model_is_a_problem() -> None:
    assert "1 requests failed with 500 from iris-r2" in _problems(
        ROWS, SEEN | {Answer("iris-r2", 500): 1}
    )


def test_a_proxy_failure_in_front_of_the_bad_model_is_a_problem() -> None:
    seen = SEEN | {Answer("iris-r3", 503): 2, Answer("", 0): 3}
    assert set(_problems(ROWS, seen)) == {
        "2 requests failed with 503 from iris-r3",
        "3 requests failed with no answer from the proxy",
    }
    assert Summary(ROWS, Tally(MappingProxyType(seen)), ()).unexcused == 5


def test_another_end_than_the_promised_one_is_a_problem() -> None:
    rows = (GOOD, replace(BAD, state="promoted"))
    assert any("v3 ended as promoted, not rolled_back" in p for p in _problems(rows, SEEN))


def test_a_late_roll_back_and_an_uncalled_version_are_problems() -> None:
    rows = (GOOD, replace(BAD, steps=(("gate", 20.5),)))
    seen = {Answer("iris-r3", 500): 9}
    assert _problems(rows, seen) == (
        "nobody called v2",
        "v3 was judged for 20 s, not rolled back early",
    )


def test_a_row_is_made_of_what_runs_shows() -> None:
    step = {
        "name": "gate",
        "started_at": "2026-01-01T00:00:00Z",
        "ended_at": "2026-01-01T00:00:05Z",
    }
    skipped = {"name": "promote", "started_at": None, "ended_at": None}
    release = {
        "id": "r3",
        "service": "iris",
        "state": "rolled_back",
        "verdict": "rollback",
        "reason": None,
        "steps": [step, skipped],
    }
    row = row_of(BAD.chapter, release)
    assert (row.revision, row.steps, row.reason) == ("iris-r3", (("gate", 5.0),), "")
