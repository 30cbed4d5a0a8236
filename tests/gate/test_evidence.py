"""The grid: which points there are, and what each of them sees."""

from __future__ import annotations

import math
from typing import Any

import pytest

from coalmine.gate.evidence import (
    Grid,
    Reading,
    grid_of,
    growth,
    read_check,
    requests_by_point,
    steps_until,
    steps_within,
    values_by_point,
)
from coalmine.gate.model import NoData
from coalmine.gate.weigh import weigh
from coalmine.metrics.protocol import Sample, Series
from tests.gate.conftest import make_check, make_policy


@pytest.mark.parametrize(("time", "step"), [(1.1, 0.1), (0.3, 0.1), (0.6, 0.2), (70.0, 0.7)])
def test_a_whole_number_of_steps_is_that_number(time: float, step: float) -> None:
    assert steps_until(time, step) == steps_within(time, step) == round(time / step)


def test_a_part_of_a_step_is_over_after_it_and_not_within_it() -> None:
    assert (steps_until(25.0, 10.0), steps_within(25.0, 10.0)) == (3, 2)


def test_nothing_counts_before_the_delay_is_over() -> None:
    grid = grid_of(make_policy(step=10.0, delay=25.0), 0.0, 29.0)
    assert (grid.first, grid.last, grid.counts, grid.newest) == (3, 2, False, -1)


def test_the_grid_ends_where_there_is_a_verdict_in_any_case() -> None:
    policy = make_policy(timeout=30.0, hold=15.0)
    assert grid_of(policy, 0.0, 45.0) == grid_of(policy, 0.0, 1e6)
    assert grid_of(policy, 0.0, 1e6).last == 45


def test_a_clock_that_was_put_back_is_the_canarys_start() -> None:
    assert grid_of(make_policy(), 100.0, 50.0).last == 0


def _grid(first: int, last: int) -> Grid:
    return Grid(since=0.0, step=1.0, first=first, last=last, window=10)


def _series(*values: float) -> Series:
    return Series((), tuple(Sample(float(at), value) for at, value in enumerate(values)))


def test_values_are_those_from_the_first_to_the_last_point() -> None:
    assert values_by_point([_series(1, 2, 3, 4)], _grid(1, 2)) == {1: [2], 2: [3]}


def test_a_counter_grows_after_the_first_point_up_to_the_last() -> None:
    assert list(growth(_series(5, 7, 10, 16), _grid(1, 2))) == [(2, 3)]
    assert requests_by_point([_series(5, 7, 10, 16)], _grid(1, 2)) == (0, 3)


def test_a_counter_that_stands_still_or_was_reset() -> None:
    assert [more for _, more in growth(_series(5, 5, 2, 2), _grid(0, 3))] == [0, 2, 0]


def test_a_counter_that_appears_later_began_at_0() -> None:
    late = Series((), (Sample(2.0, 4.0), Sample(3.0, math.nan)))
    assert list(growth(late, _grid(0, 3))) == [(2, 4)]


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([0.05], Reading.KEPT),
        ([0.01], Reading.KEPT),
        ([0.051], Reading.BROKEN),
        ([0.009], Reading.BROKEN),
        ([0.03, 0.06], Reading.BROKEN),
        ([0.03, math.nan], Reading.NONE),
        ([], Reading.NONE),
    ],
)
def test_bounds_are_good_themselves_and_nan_is_no_value(values: list[float], read: Reading) -> None:
    check = make_check(minimum=0.01, maximum=0.05, no_data=NoData.WAIT)
    assert read_check(check, values) is read


def test_a_promotion_is_known_at_its_own_point(make: Any) -> None:
    weighed = weigh(make.policy(), make.evidence([0.0] * 13), make.since + 12)
    assert weighed.promotable_at == 10
    assert [weighed.until(point).promotable_at for point in (9, 10, 11)] == [None, 10, 10]
