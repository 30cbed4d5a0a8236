from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Operator
from coalmine.compiler.ir.conditions import InputName, Literal, parse_condition
from coalmine.compiler.ir.placeholders import parse_piece
from coalmine.compiler.ir.values import to_text
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.piece import InputRef, OutputPath, Part

literals = st.text(st.sampled_from("{}$'[].abc \n") | st.characters(), max_size=10).filter(
    lambda text: "{{$" not in text
)
parts = st.one_of(literals, st.just(InputRef("x")), st.just(OutputPath("y")))


def written(part: Part) -> str:
    match part:
        case InputRef(name):
            return f"{{{{$.inputs.parameters['{name}']}}}}"
        case OutputPath(name):
            return f"{{{{$.outputs.parameters['{name}'].output_file}}}}"
        case _:
            return str(part)


@given(piece=st.lists(parts, max_size=5))
def test_pieces_survive_the_way_through_the_ir(piece: list[str | InputRef | OutputPath]) -> None:
    text = "".join(written(part) for part in piece)
    assume(not text.startswith(("{{{$", '{"')))
    # A brace right before a placeholder makes three, which only the position can tell apart.
    assume("{{{$" not in text)
    parsed = parse_piece(text, inputs={"x"}, outputs={"y"}, task="t")
    assert "".join(written(part) for part in parsed) == text
    references = [part for part in piece if not isinstance(part, str)]
    assert [part for part in parsed if not isinstance(part, str)] == references


@pytest.mark.parametrize(
    "text",
    [
        "{{$.inputs.artifacts['x'].path}}",
        "{{$.outputs.artifacts['x'].path}}",
        "{{$.inputs.artifacts['x'].metadata['k']}}",
        "{{$.inputs.parameters['x'].value}}",
        "{{$.inputs.parameters['ghost']}}",
        "{{$.outputs.parameters['ghost'].output_file}}",
        "{{$.pipeline_job_create_time_utc}}",
        "{{$.pipeline_root}}",
        "{{$.inputs.parameters['x']",
    ],
)
def test_other_placeholders_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="task 't'"):
        parse_piece(text, inputs={"x"}, outputs={"y"}, task="t")


words = st.text(max_size=8).filter(lambda text: not set(text) & set("'\\\r\n"))


@given(value=words, negated=st.booleans(), operator=st.sampled_from(list(Operator)))
def test_a_comparison_is_read_back(value: str, negated: bool, operator: Operator) -> None:
    one = f"inputs.parameter_values['a--b'] {operator.value} '{value}'"
    text = f"!({one})" if negated else one
    (found,) = parse_condition(text, task="t")
    assert (found.left, found.right) == (InputName("a--b"), Literal(value, ParameterType.STRING))
    assert (found.operator, found.negated) == (operator, negated)


def test_a_conjunction_is_read_in_order() -> None:
    text = "!(inputs.parameter_values['a'] == ' && ') && 'x' != inputs.parameter_values['b']"
    first, second = parse_condition(text, task="t")
    assert (first.negated, first.right) == (True, Literal(" && ", ParameterType.STRING))
    assert (second.left, second.operator) == (
        Literal("x", ParameterType.STRING),
        Operator.NOT_EQUAL,
    )


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("int(I) < -3", InputName("i", ParameterType.INTEGER), ("-3", ParameterType.INTEGER)),
        ("I >= 1e+22", InputName("i"), (f"1{'0' * 22}", ParameterType.DOUBLE)),
        ("I <= 0.5", InputName("i"), ("0.5", ParameterType.DOUBLE)),
        ("I > double(5)", InputName("i"), ("5", ParameterType.DOUBLE)),
        ("double(int(I)) != 5.5", InputName("i", ParameterType.DOUBLE), None),
        ("I == true", InputName("i"), ("true", ParameterType.BOOLEAN)),
    ],
)
def test_numbers_and_booleans_are_read(
    text: str, left: InputName, right: tuple[str, ParameterType] | None
) -> None:
    (found,) = parse_condition(text.replace("I", "inputs.parameter_values['i']"), task="t")
    assert found.left == left
    assert right is None or found.right == Literal(*right)


@pytest.mark.parametrize(
    "text",
    [
        "inputs.parameter_values['a'] == 'it's'",
        "inputs.parameter_values['a'] == 'a\\n'",
        "inputs.parameter_values['a'] == 'a' || true",
        "inputs.parameter_values['a'] == 'a' && ",
        "inputs.parameter_values['a'] == inf",
        "inputs.parameter_values['a'] == five",
        "string(inputs.parameter_values['a']) == '5'",
        "size(inputs.parameter_values['a']) > 5",
        "inputs.parameter_values['a'] in ['b']",
        "'int(inputs.parameter_values['a'])' == '5'",
        "!(inputs.parameter_values['a'] == 'a' && inputs.parameter_values['b'] == 'b')",
        "'inputs.parameter_values['a']' == 'a'",
    ],
)
def test_other_conditions_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="task 't' uses the condition"):
        parse_condition(text, task="t")


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (10.0, ParameterType.INTEGER, "10"),
        (10**17, ParameterType.INTEGER, "100000000000000000"),
        (0.05, ParameterType.DOUBLE, "0.05"),
        (1e-7, ParameterType.DOUBLE, "0.0000001"),
        (1e21, ParameterType.DOUBLE, "1000000000000000000000"),
        (True, ParameterType.BOOLEAN, "true"),
        (" a\n", ParameterType.STRING, " a\n"),
        ([1.0, 0.5, 1e21, 1e-7, -2, None], ParameterType.LIST, "[1,0.5,1e+21,1e-7,-2,null]"),
        (["<&>\u2028é"], ParameterType.LIST, '["\\u003c\\u0026\\u003e\\u2028é"]'),
        ({"b": True, "a": {}}, ParameterType.STRUCT, '{"a":{},"b":true}'),
    ],
)
def test_values_are_written_as_the_backend_does(
    value: object, kind: ParameterType, text: str
) -> None:
    assert to_text(value, kind, what="x", task="t") == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (10.5, ParameterType.INTEGER),
        ("10", ParameterType.INTEGER),
        (True, ParameterType.INTEGER),
        (float("nan"), ParameterType.DOUBLE),
        (1, ParameterType.BOOLEAN),
        (None, ParameterType.STRING),
        (["a"], ParameterType.STRING),
        (["a"], ParameterType.STRUCT),
        ({"a": 1}, ParameterType.LIST),
        ({"a": object()}, ParameterType.STRUCT),
        ([float("inf")], ParameterType.LIST),
    ],
)
def test_values_of_another_type_are_refused(value: object, kind: ParameterType) -> None:
    with pytest.raises(InputError, match="task 't': x is"):
        to_text(value, kind, what="x", task="t")
