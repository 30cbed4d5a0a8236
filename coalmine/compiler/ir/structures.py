"""Arguments with a structure: ``dsl.ConcatPlaceholder`` and ``dsl.IfPresentPlaceholder``.

The SDK writes each as a JSON text in the place of one argument. Which inputs have a value is known
once the graph is flat, so nothing of the structure is left in it: a concatenation is one argument
of several parts, a condition becomes what it chooses, be it no argument at all.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.ir.refuse import unsupported

__all__ = ["Structures", "uncertain_input"]

OPENINGS = ('{"Concat": ', '{"IfPresent": ')


def uncertain_input(task: str, name: str) -> InputError:
    """Make the error for a command line that depends on whether a parameter is given."""
    return unsupported(
        task,
        f"the input {name!r} in its command line, which has no value if the pipeline's optional "
        "parameter behind it is left out",
        fix="give the parameter a default in the pipeline, or the input one in the component",
    )


@dataclass(frozen=True, slots=True)
class Structures:
    """Resolves the structured arguments of one task.

    Attributes:
        inputs: The names of the component's inputs.
        present: Those that have a value here, their default included.
        task: Whose arguments they are, for errors.
        uncertain: Those of which only the run's parameters tell whether they have a value.
    """

    inputs: Collection[str]
    present: Collection[str]
    task: str
    uncertain: Collection[str] = ()

    def resolve(self, texts: list[str]) -> list[str]:
        """Give the arguments that are left, with nothing in them but plain placeholders.

        Raises:
            InputError: A structure is malformed or asks for an input that does not exist.
        """
        return [found for text in texts for found in self._argument(text)]

    def _argument(self, text: str) -> list[str]:
        if not text.startswith(OPENINGS):
            return [text]
        try:
            return self._parts(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise self._malformed(text, str(error)) from None

    def _parts(self, item: Any) -> list[str]:  # noqa: ANN401 - whatever JSON holds
        match item:
            case str():
                return [item]
            case {"Concat": list(parts)} if len(item) == 1:
                return ["".join(text for part in parts for text in self._one(part))]
            case {"IfPresent": {"InputName": str(name), "Then": then, **rest}} if len(
                item
            ) == 1 and rest.keys() <= {"Else"}:
                chosen = then if self._is_present(name) else rest.get("Else", [])
                many = chosen if isinstance(chosen, list) else [chosen]
                return [text for part in many for text in self._parts(part)]
            case _:
                raise self._malformed(json.dumps(item), "no known structure")

    def _one(self, part: Any) -> list[str]:  # noqa: ANN401
        """Resolve a part of a concatenation, where a list has no place."""
        match part:
            case {"IfPresent": {"Then": list()}} | {"IfPresent": {"Else": list()}}:
                raise self._malformed(json.dumps(part), "a list within a concatenation")
            case _:
                return self._parts(part)

    def _is_present(self, name: str) -> bool:
        if name not in self.inputs:
            raise InputError(
                f"task {self.task!r} asks whether the input {name!r} is present, which its "
                "component does not have",
                fix=f"use one of: {', '.join(sorted(self.inputs)) or 'it has none'}",
            )
        if name in self.uncertain:
            raise uncertain_input(self.task, name)
        return name in self.present

    def _malformed(self, text: str, why: str) -> InputError:
        return InputError(
            f"task {self.task!r}: the argument {text[:60]!r} cannot be read: {why}",
            fix="compile the pipeline again",
        )
