"""Tokens that a header can carry, and those that it cannot."""

from __future__ import annotations

import pytest

from coalmine._base.bearer import bearer
from coalmine._base.errors import InputError


def test_a_line_break_at_the_end_is_no_part_of_a_token() -> None:
    assert bearer("abc\n") == bearer(" abc ") == {"authorization": "Bearer abc"}
    assert bearer("") == bearer("\n") == {}


@pytest.mark.parametrize("token", ["s3cret\ns3cret", "s3cret\u20ac", "s3cret two", "s3\x7fcret"])
def test_what_a_header_cannot_carry_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(InputError, match="a header cannot carry") as caught:
        bearer(token)
    assert "s3" not in str(caught.value)
