"""Tasks side by side as an Argo DAG; each loop is a template of its own with a DAG in it.

``withParam`` over the template makes its turns. How many run at once is said by the template that
holds them, so a loop with a limit has one more template around its body.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.argo_artifacts import LoopArtifacts
from coalmine.compiler.argo_value import Names, name_of
from coalmine.compiler.argo_when import compared_parameters, expression
from coalmine.compiler.graph import Loop
from coalmine.compiler.items import item_text, read_items
from coalmine.compiler.levels import Levels, Path
from coalmine.compiler.manifest import Place
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, LoopItem, OneOf, Value, simple_values

__all__ = ["Dags"]

TARGET = "argo"
SUCCEEDED = ("Succeeded",)
LOOPED = ("Succeeded", "Skipped")
"""A loop without a turn is skipped."""
PASSED = ("Succeeded", "Skipped", "Omitted")
ENDED = (*PASSED, "Failed", "Errored")
EACH = "each"

Arguments = Callable[[Task, Names], dict[str, Any]]
Literal = Callable[[str, Place], str]


@dataclass(frozen=True, slots=True)
class Dags:
    """Writes the DAGs of one graph.

    Attributes:
        levels: The graph, by levels.
        arguments: Writes what a task's inputs get.
        literal: Writes a text that is known.
        artifacts: Tells which artifacts go into loops.
    """

    levels: Levels
    arguments: Arguments
    literal: Literal
    artifacts: LoopArtifacts

    def dag(self, path: Path) -> dict[str, Any]:
        """Write all that stands at a level."""
        members = self.levels.members(path)
        names = Names(self.levels, path)
        waits = {item.name: self._waits(item, path) for item in members}
        return {
            # Without it Argo would start nothing more once any task has failed.
            "failFast": False,
            **_target(waits),
            "tasks": [self._node(item, waits[item.name], names) for item in members],
        }

    def compared(self, path: Path) -> list[str]:
        """Name the pipeline parameters that conditions at a level read."""
        members = self.levels.members(path)
        return compared_parameters(one for item in members for one in self.levels.conditions(item))

    def templates(self) -> list[dict[str, Any]]:
        """Write the templates of all loops."""
        return [made for loop in self.levels.graph.loops for made in self._templates(loop)]

    def _waits(self, item: Task | Loop, path: Path) -> dict[str, tuple[str, ...]]:
        """Say what must have become of each node before; the strictest word counts."""
        tasks, above = self.levels.tasks_of(item), self.levels.above
        inside = {task.name for task in tasks}
        needed = set().union(*(task.depends_on() for task in tasks)) - inside
        fewest = {name for name in needed if not any(name in above[other] for other in needed)}
        ended = set().union(*(task.behind for task in tasks)) - inside
        passed = set().union(*(task.follows() for task in tasks)) - inside - needed - ended
        found: dict[str, tuple[str, ...]] = {}
        for names, how in ((ended, ENDED), (passed, PASSED), (fewest, SUCCEEDED)):
            for name in sorted(names):
                home = self.levels.homes[name]
                if home == path:
                    found[name] = how
                elif home[: len(path)] == path:
                    found[home[len(path)]] = LOOPED if how == SUCCEEDED else how
        return found

    def _node(
        self, item: Task | Loop, waits: dict[str, tuple[str, ...]], names: Names
    ) -> dict[str, Any]:
        if not item.name[0].isalpha():
            raise InputError(
                f"{Place(item.name, 'name', TARGET)}: begins with a digit, which Argo refuses",
                fix="rename the component",
            )
        written: dict[str, Any] = {"name": item.name, "template": item.name}
        if waits:
            written["depends"] = " && ".join(_depends(name, waits[name]) for name in sorted(waits))
        if when := expression(
            item.name, self._choices(item, names), self.levels.conditions(item), names
        ):
            written["when"] = when
        if isinstance(item, Loop):
            return {**written, **self._turns(item, names)}
        if arguments := self.arguments(item, names):
            written["arguments"] = arguments
        return written

    def _choices(self, item: Task | Loop, names: Names) -> list[OneOf]:
        if isinstance(item, Loop):
            values: list[Value] = [*self.levels.taken_in(item), *self.levels.artifacts_in(item)]
        else:
            values = [one for _, value in item.arguments for one in simple_values(value)]
        values += [side for one in self.levels.conditions(item) for side in (one.left, one.right)]
        found = [value for value in values if isinstance(value, OneOf) and names.chooses(value)]
        return list(dict.fromkeys(found))

    def _turns(self, loop: Loop, names: Names) -> dict[str, Any]:
        """Write how a loop is called: at once, or by way of the template that keeps its limit."""
        taken = [
            {"name": name_of(value), "value": names.tag(value)}
            for value in self.levels.taken_in(loop)
        ]
        if not loop.limit:
            return self._each(loop, taken, names)
        about, artifacts = self.artifacts.arguments(loop, names)
        taken += about
        if not isinstance(loop.items, Constant):
            taken.append({"name": _items_name(loop), "value": names.tag(loop.items)})
        given = _said(taken, artifacts)
        return {"arguments": given} if given else {}

    def _each(self, loop: Loop, taken: list[dict[str, str]], names: Names) -> dict[str, Any]:
        item = {"name": name_of(LoopItem(loop.name)), "value": "{{item}}"}
        about, artifacts = self.artifacts.arguments(loop, names)
        given = _said([item, *taken, *about], artifacts)
        return {"arguments": given, **self._list(loop, names)}

    def _list(self, loop: Loop, names: Names) -> dict[str, Any]:
        if not isinstance(loop.items, Constant):
            return {"withParam": names.tag(loop.items)}
        where = Place(loop.name, "items", TARGET)
        items = read_items(loop.items.value, loop=loop.name)
        texts = [self.literal(item_text(item, (), loop=loop.name), where) for item in items]
        # Argo takes a loop over no items for no loop at all.
        return {"withItems": texts} if texts else {"withParam": "[]"}

    def _templates(self, loop: Loop) -> list[dict[str, Any]]:
        path = (*loop.loops, loop.name)
        names = Names(self.levels, path)
        taken = self.levels.taken_in(loop)
        given = self.levels.given_out(loop)
        inputs = [{"name": name_of(value)} for value in (LoopItem(loop.name), *taken)]
        about, artifacts = self.artifacts.inputs(loop)
        body: dict[str, Any] = {"name": loop.name, "inputs": _said([*inputs, *about], artifacts)}
        if given:
            body["outputs"] = {"parameters": [_output(value, names) for value in given]}
        body["dag"] = self.dag(path)
        return (
            [self._limited(loop, taken, given), {**body, "name": _body_name(loop)}]
            if loop.limit
            else [body]
        )

    def _limited(self, loop: Loop, taken: list[Value], given: list[Value]) -> dict[str, Any]:
        """Write the template around a body that says how many turns run at once."""
        inputs = [{"name": name_of(value)} for value in taken]
        passed_on = [{**one, "value": _input(one["name"])} for one in inputs]
        # All that it is given is its own input, as it is for the body.
        names = Names(self.levels, (*loop.loops, loop.name))
        call = self._each(loop, passed_on, names)
        about, artifacts = self.artifacts.inputs(loop)
        inputs += about
        if not isinstance(loop.items, Constant):
            inputs.append({"name": _items_name(loop)})
            call["withParam"] = _input(_items_name(loop))
        written: dict[str, Any] = {"name": loop.name, "parallelism": loop.limit}
        if said := _said(inputs, artifacts):
            written["inputs"] = said
        if given:
            written["outputs"] = {"parameters": [_forwarded(name_of(value)) for value in given]}
        node = {"name": EACH, "template": _body_name(loop), **call}
        return {**written, "dag": {"failFast": False, "tasks": [node]}}


def _said(
    parameters: list[dict[str, Any]], artifacts: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    said = {"parameters": parameters, "artifacts": artifacts}
    return {kind: items for kind, items in said.items() if items}


def _depends(name: str, how: tuple[str, ...]) -> str:
    said = " || ".join(f"{name}.{one}" for one in how)
    return f"({said})" if len(how) > 1 else said


def _target(waits: dict[str, dict[str, tuple[str, ...]]]) -> dict[str, str]:
    """Name the nodes that a DAG fails with, where Argo would forget some.

    Argo takes those that nobody waits for. One that goes on behind a failed task would make a
    success of the whole.
    """
    forgiven = {name for of in waits.values() for name, how in of.items() if how == ENDED}
    waited_for = {name for of in waits.values() for name in of}
    if not forgiven:
        return {}
    return {"target": " ".join(n for n in waits if n in forgiven or n not in waited_for)}


def _output(value: Value, names: Names) -> dict[str, Any]:
    if isinstance(value, OneOf) or not names.tag(value).startswith("{{tasks."):
        return {"name": name_of(value), "valueFrom": {"expression": names.source(value)}}
    return {"name": name_of(value), "valueFrom": {"parameter": names.tag(value)}}


def _forwarded(name: str) -> dict[str, Any]:
    taken = {"parameter": f"{{{{tasks.{EACH}.outputs.parameters.{name}}}}}", "default": "[]"}
    return {"name": name, "valueFrom": taken}


def _input(name: str) -> str:
    return f"{{{{inputs.parameters.{name}}}}}"


def _items_name(loop: Loop) -> str:
    return f"{loop.name}-items"


def _body_name(loop: Loop) -> str:
    return f"{loop.name}-{EACH}"
