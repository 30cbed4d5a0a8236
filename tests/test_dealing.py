"""No test is lost or run twice by the way in which tests are dealt to workers."""

from hypothesis import given
from hypothesis import strategies as st

from tests.dealing import LONG, dealt

ROOMS = [room for rooms in LONG for room in rooms]


@given(st.lists(st.sampled_from([*ROOMS, "tests/gate/", "tests/"])), st.integers(1, 8))
def test_every_test_is_there_once(rooms: list[str], workers: int) -> None:
    order = dealt([(f"{room}x.py", number) for number, room in enumerate(rooms)], workers)
    assert sorted(order) == list(range(len(rooms)))


def test_each_worker_begins_with_its_long_tests() -> None:
    names = [f"tests/gate/{number}" for number in range(88)]
    names += [f"{room}{number}" for room in ROOMS for number in range(2)]
    order = dealt([(name, name) for name in names], len(LONG))
    assert [order[at] for at in (0, 24, 48, 73)] == [f"{rooms[0]}0" for rooms in LONG]
    assert len(order) == 98
