"""Templates: no value can change what a query asks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.gate.duration import format_duration, parse_duration
from coalmine.gate.template import check_template, fill_template, variables_in


def unquoted(literal: str) -> str:
    """Read a PromQL string literal back; for these characters Python's rules are the same."""
    mark, inner = literal[0], literal[1:-1]
    result, escaped = "", False
    for character in inner:
        assert escaped or character != mark, "the literal ends early"
        assert character != "\n"
        if escaped:
            result, escaped = result + {"n": "\n"}.get(character, character), False
        elif character == "\\":
            escaped = True
        else:
            result += character
    assert not escaped
    return result


@settings(deadline=None)
@given(st.text(), st.sampled_from(['"', "'"]))
def test_any_value_stays_inside_its_literal(value: str, mark: str) -> None:
    filled = fill_template(f"x{{a={mark}${{canary}}{mark}}}", {"canary": value})
    assert filled.startswith("x{a=")
    assert filled.endswith("}")
    assert unquoted(filled[4:-1]) == value


def test_only_known_variables_are_filled() -> None:
    template = 'up{a="${canary}",b="$5",c=~"x$"}[${window}]'
    check_template(template)
    assert variables_in(template) == {"canary", "window"}
    filled = fill_template(template, {"canary": "r-1", "window": "5m"})
    assert filled == 'up{a="r-1",b="$5",c=~"x$"}[5m]'


@settings(deadline=None)
@given(st.text(st.sampled_from('ab.*+?()[]{}|^$-\\"\n')), st.sampled_from(["=~", "!~ ", "=~\n"]))
def test_a_name_in_a_regular_expression_means_itself(value: str, matcher: str) -> None:
    filled = fill_template(f'x{{a{matcher}"${{canary}}-.*"}}', {"canary": value})
    pattern = unquoted(filled[filled.index('"') : -1])
    assert re.fullmatch(pattern, f"{value}-7")
    assert not re.fullmatch(pattern, f"x{value}-7")


def test_a_value_is_not_filled_again() -> None:
    assert fill_template('"${canary}"', {"canary": "${window}", "window": "5m"}) == '"${window}"'


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('"${nothing}"', "is no variable"),
        ('"${canary"', "is no variable"),
        ('"${}"', "is no variable"),
        ("${canary}", "outside of quotes"),
        ("`${canary}`", "outside of quotes"),
        ('"a\\"" + ${canary}', "outside of quotes"),
        ('"a" + ${service} + "b"', "outside of quotes"),
    ],
)
def test_a_variable_in_the_wrong_place(template: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_template(template)


@pytest.mark.parametrize("template", ['"\\"${canary}"', '`\\` + "${canary}"', "'\"${canary}\"'"])
def test_literals_are_followed(template: str) -> None:
    check_template(template)


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_a_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "seconds"), [("20s", 20), ("1h30m", 5400), ("500ms", 0.5), ("1d", 86400), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "s", "1.5s", "-1s", "1 s", "1w", "1s "])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
