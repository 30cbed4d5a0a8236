"""Parameters of every type, defaults, optional inputs, f-strings, task outputs."""

# ruff: noqa: ANN201, B006, PLR0917, UP006, UP035, UP045
# mypy: ignore-errors

from typing import Dict, List, NamedTuple, Optional

from cases import case
from kfp import dsl

ODD = 'it\'s "x" {{{y}}} é\n\\ $HOME $$ $(id) `id`'


@dsl.component(install_kfp_package=False)
def typed(
    s: str = "s",
    i: int = -3,
    f: float = 0.5,
    b: bool = True,
    items: List = [1, "é"],
    pairs: Dict = {"a": [1]},
) -> NamedTuple(
    "Typed", [("s", str), ("i", int), ("f", float), ("b", bool), ("items", list), ("pairs", dict)]
):
    return (s, i, f, b, items, pairs)


@dsl.component(install_kfp_package=False)
def kinds(value: List, flag: bool, ratio: float) -> str:
    return f"{value[1]!r} {flag!r} {ratio!r}"


@dsl.component(install_kfp_package=False)
def shown(text: str) -> str:
    return repr(text)


@dsl.component(install_kfp_package=False)
def maybe(text: Optional[str] = None) -> str:
    return repr(text)


@dsl.component(install_kfp_package=False)
def maybe_counted(count: Optional[int] = None) -> str:
    return repr(count)


GIVEN = {"s": ODD, "i": 0, "f": -1e-7, "b": False, "items": [], "pairs": {ODD: "x"}}


@case({}, GIVEN, {"s": "", "f": 2.0, "items": [[{"a": 1.5}]], "pairs": {}})
def parameters(
    s: str = "t",
    i: int = 7,
    f: float = 3.25,
    b: bool = True,
    items: List = [1, [2]],
    pairs: Dict = {"k": "v"},
):
    typed(s=s, i=i, f=f, b=b, items=items, pairs=pairs)


@case()
def defaults_of_components():
    typed()


@case()
def constants():
    typed(s=ODD, i=0, f=1.0, b=False, items=[ODD], pairs={"x": {"y": [True, "é"]}})


@case()
def task_outputs() -> str:
    one = typed(s=ODD, b=False)
    two = typed(**one.outputs)
    return kinds(value=two.outputs["items"], flag=two.outputs["b"], ratio=two.outputs["f"]).output


@case({"word": ODD, "ratio": 0.5})
def fstrings(word: str, ratio: float) -> str:
    first = shown(text=f"<{word}|{ratio}>")
    return shown(text=f"{first.output} and {word}").output


@case({"count": 3}, apart="a whole number in an f-string", gives=(("'3'",),))
def whole_numbers_in_fstrings(count: int):
    shown(text=f"{count}")


@dsl.component(install_kfp_package=False)
def first_of(values: List) -> str:
    return repr(values[0])


@case({"values": [3]}, apart="a whole number in a list", gives=(("3",),))
def whole_numbers_in_lists(values: List):
    first_of(values=values)


@dsl.component(install_kfp_package=False)
def keys_of(values: Dict) -> str:
    return repr(values)


@case({"values": {"a": None}}, apart="`null` in a dict", gives=(("{'a': None}",),))
def nothing_in_a_dict(values: Dict):
    keys_of(values=values)


@case()
def inputs_left_out():
    maybe()
    maybe(text="")


@case(apart="an optional int input", gives=(("None",),))
def numbers_left_out():
    maybe_counted()


@case({"text": "given"})
def parameters_given(text: Optional[str] = None):
    maybe(text=text)


@case(apart="an optional parameter of the pipeline", gives=(("None",),))
def parameters_left_out(text: Optional[str] = None):
    maybe(text=text)
