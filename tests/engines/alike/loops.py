"""Loops over constants, parameters and outputs, nested, limited; what they gather."""

# ruff: noqa: ANN201, UP006, UP035
# mypy: ignore-errors

from typing import List

from branches import say
from cases import case
from kfp import dsl


@dsl.component(install_kfp_package=False)
def count_up(to: int) -> List[int]:
    return list(range(to))


@dsl.component(install_kfp_package=False)
def double(value: int) -> int:
    return value * 2


@dsl.component(install_kfp_package=False)
def gather(values: List[int]) -> List[int]:
    return [value + 1 for value in values]


@dsl.component(install_kfp_package=False)
def gather_texts(values: List[str]) -> str:
    return repr(values)


@case()
def over_constants() -> str:
    with dsl.ParallelFor(["a", "b {{c}}"]) as item:
        each = say(text=item)
    return gather_texts(values=dsl.Collected(each.output)).output


@case()
def over_dicts():
    with dsl.ParallelFor(
        [{"word": "a", "end": "é"}, {"word": "b", "end": ""}], parallelism=1
    ) as item:
        say(text=item.word)
        say(text=item.end)


@case({"values": [3, 1, 2]})
def over_a_parameter(values: List[int]) -> List[int]:
    with dsl.ParallelFor(values) as item:
        each = double(value=item)
    return gather(values=dsl.Collected(each.output)).output


@case({"values": []}, apart="`dsl.Collected` of a loop over an empty list", gives=(([],),))
def over_nothing(values: List[int]) -> List[int]:
    with dsl.ParallelFor(values) as item:
        each = double(value=item)
    return gather(values=dsl.Collected(each.output)).output


@case()
def over_an_output() -> List[int]:
    with dsl.ParallelFor(count_up(to=3).output) as item:
        each = double(value=item)
    return gather(values=dsl.Collected(each.output)).output


@case()
def within_each_other():
    with dsl.ParallelFor(["a", "b"]) as outer, dsl.ParallelFor([1, 2]) as inner:
        say(text=outer)
        double(value=inner)


@case()
def with_a_condition():
    with dsl.ParallelFor(["a", "b"]) as item, dsl.If(item == "a"):
        say(text=item)
