"""Conditions on parameters and outputs, nested, and one of several values."""

# ruff: noqa: ANN201
# mypy: ignore-errors

from typing import NamedTuple

from cases import case
from kfp import dsl

MODES = tuple({"mode": mode} for mode in "xyz")


@dsl.component(install_kfp_package=False)
def say(text: str) -> str:
    return f"<{text}>"


@dsl.component(install_kfp_package=False)
def give(text: str) -> str:
    return text


@dsl.component(install_kfp_package=False)
def number(value: int) -> int:
    return value


@case(*MODES)
def choices(mode: str) -> str:
    with dsl.If(mode == "x"):
        one = say(text="one")
    with dsl.Elif(mode == "y"):
        two = say(text="two")
    with dsl.Else():
        three = say(text="three")
    taken = dsl.OneOf(one.output, two.output, three.output)
    return say(text=taken).output


@case({"count": 3, "ratio": 0.5, "ready": True}, {"count": 9, "ratio": -1.0, "ready": False})
def types(count: int, ratio: float, ready: bool):
    with dsl.If(count < 5):
        say(text="few")
    with dsl.If(count >= 9):
        say(text="many")
    with dsl.If(ratio > 0.25):
        say(text="large")
    with dsl.If(ready == True):  # noqa: E712 - kfp overloads it
        say(text="ready")
    with dsl.If(count != 3):
        say(text="not three")


@case(*MODES[:2])
def nested(mode: str):
    with dsl.If(mode != "z"):
        say(text="outer")
        with dsl.If(mode == "x"):
            say(text="x")
        with dsl.Else():
            say(text="y")


@dsl.component(install_kfp_package=False)
def numbers(value: int) -> NamedTuple("Numbers", [("same", int), ("more", int)]):
    return (value, value + 1)


@case(
    {"value": 5},
    apart="a `dsl.If` on an output that has a name",
    gives=((5, 6, "<large>"),),
)
def lone_if_on_a_named_output(value: int):
    with dsl.If(numbers(value=value).outputs["same"] > 3):
        say(text="large")


@case({"value": 1}, {"value": 5})
def lone_if_on_an_output(value: int):
    with dsl.If(number(value=value).output > 3):
        say(text="large")


@case({"text": "a"}, {"text": "b"})
def choices_on_an_output(text: str):
    given = give(text=text)
    with dsl.If(given.output == "a"):
        one = say(text="one")
    with dsl.Else():
        two = say(text="two")
    say(text=dsl.OneOf(one.output, two.output))
