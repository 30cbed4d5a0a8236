"""How a value is said in Argo: a tag in a text, a name in an expression.

Within a template only its own inputs and the outputs of its own tasks can be named. What comes
from around a loop is an input of the loop's template, by the name that ``name_of`` gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.compiler.compare import TRUE_TEXTS
from coalmine.compiler.levels import Levels, Path
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.pod import SIMPLE_NAME
from coalmine.compiler.value import Gathered, LoopItem, OneOf, ParameterRef, TaskOutputRef, Value

__all__ = ["TRUE_LIST", "Names", "name_of", "ran"]

TRUE_LIST = ", ".join(f"'{text}'" for text in TRUE_TEXTS)
ELEMENTS = {
    ParameterType.INTEGER: "asInt(#)",
    ParameterType.DOUBLE: "asFloat(#)",
    ParameterType.BOOLEAN: f"# in [{TRUE_LIST}]",
}
"""What makes a value of its type of a text, where a list of texts is not what is meant."""
ITEMS = {
    ParameterType.INTEGER: "string(asInt({}))",
    ParameterType.LIST: "toJson({})",
    ParameterType.STRUCT: "toJson({})",
}
"""How a part of an item is written, where Argo's own way is not KFP's."""


def ran(task: str) -> str:
    """Ask within an expression whether a task has succeeded."""
    return f"tasks['{task}'].status == 'Succeeded'"


def name_of(value: Value) -> str:
    """Name a value that a loop's template takes or gives."""
    match value:
        case TaskOutputRef(task, output):
            return f"{task}-{output}"
        case OneOf(choices):
            return "-or-".join(name_of(choice) for choice in choices)
        case Gathered(loop, inner):
            return f"{loop}-{name_of(inner)}"
        case LoopItem(loop):
            return f"{loop}-item"
        case ParameterRef(name):
            return name
        case _:
            raise TypeError(f"{value} has no name")


@dataclass(frozen=True, slots=True)
class Names:
    """Says values at one level of a graph."""

    levels: Levels
    path: Path = ()

    def tag(self, value: Value) -> str:
        """Put a value into a text."""
        match value:
            case ParameterRef(name):
                return f"{{{{workflow.parameters.{name}}}}}"
            case LoopItem(_, ()):
                return f"{{{{inputs.parameters.{name_of(value)}}}}}"
            case TaskOutputRef() | OneOf() | Gathered() if not self.is_here(value):
                return f"{{{{inputs.parameters.{name_of(value)}}}}}"
            case TaskOutputRef(task, output):
                return f"{{{{tasks.{task}.outputs.parameters.{output}}}}}"
            case _:
                return f"{{{{= {self.source(value)} }}}}"

    def source(self, value: Value) -> str:
        """Name a value within an expression."""
        match value:
            case ParameterRef() | LoopItem(_, ()):
                return f"inputs.parameters['{name_of(value)}']"
            case LoopItem():
                return self._of_item(value)
            case TaskOutputRef() | OneOf() | Gathered() if not self.is_here(value):
                return f"inputs.parameters['{name_of(value)}']"
            case TaskOutputRef(task, output):
                return f"tasks['{task}'].outputs.parameters['{output}']"
            case OneOf(choices):
                # Only what is chosen is looked at: the rest was never written.
                *others, last = choices
                chosen = "".join(f"{ran(one.task)} ? {self.source(one)} : " for one in others)
                return f"({chosen}{self.source(last)})"
            case Gathered():
                return self._gathered(value)
            case _:
                raise TypeError(f"{value} is not said in an expression")

    def chooses(self, value: Value) -> bool:
        """Tell whether a value is chosen here from those of several tasks."""
        return isinstance(value, OneOf) and self.is_here(value)

    def is_here(self, value: Value) -> bool:
        """Tell whether a value is made at this level, and not taken in from around it."""
        return self.levels.home(value) == self.path

    def _of_item(self, value: LoopItem) -> str:
        if wrong := [key for key in value.path if not SIMPLE_NAME.fullmatch(key)]:
            raise InputError(
                f"the loop {value.loop!r}, target argo: the key {wrong[0]!r} cannot be asked for",
                fix="use keys of letters, digits, dashes and underscores",
            )
        whole = self.source(LoopItem(value.loop))
        found = f"jsonpath({whole}, '$.{'.'.join(value.path)}')"
        return ITEMS.get(value.type, "{}").format(found)

    def _gathered(self, value: Gathered) -> str:
        """A loop without a turn is skipped, and then there is no list of outputs."""
        made = f"tasks['{value.loop}'].outputs.parameters['{name_of(value.value)}']"
        if element := ELEMENTS.get(value.type):
            made = f"toJson(map(jsonpath({made}, '$'), {{{element}}}))"
        return f"(tasks['{value.loop}'].status == 'Skipped' ? '[]' : {made})"
