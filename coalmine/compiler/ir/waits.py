"""What a task waits for, and how strictly: by name beside it in the IR, by flat tasks here.

A group has ended well when none of its tasks has failed. So whoever waits for one waits for all
that stands in it: for what always runs there to succeed, for what runs under a condition of its
own not to fail. What guards the group as a whole guards whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from coalmine.compiler.condition import Condition
from coalmine.compiler.task import Task
from coalmine.compiler.value import Value

__all__ = ["Member", "Waits", "waits_of"]


@dataclass(frozen=True, slots=True)
class Waits:
    """What has to be before a task or group may start.

    Attributes:
        after: Tasks that must have succeeded.
        passed: Tasks that must have ended and not have failed.
        when: Conditions that guard what is waited for.
    """

    after: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()
    when: tuple[Condition, ...] = ()

    def and_those(self, other: Waits) -> Waits:
        """Wait for what either says."""
        when = tuple(dict.fromkeys((*self.when, *other.when)))
        return Waits(self.after | other.after, self.passed | other.passed, when)


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a group once it is flat.

    Attributes:
        tasks: The container tasks in it: one, or those of a whole sub-group.
        outputs: What others may take from it.
        waits: What it waits for as a whole, its own conditions and those around it included.
        loops: The loops around it; whatever stands in one more may have no turn at all.
    """

    tasks: tuple[Task, ...]
    outputs: Mapping[str, Value]
    waits: Waits = field(default_factory=Waits)
    loops: tuple[str, ...] = ()


def waits_of(members: Iterable[Member]) -> Waits:
    """Work out what waiting for all these entries means."""
    found = Waits()
    for member in members:
        found = found.and_those(_waits_of(member))
    return found


def _waits_of(member: Member) -> Waits:
    always = {task.name for task in member.tasks if _always_runs(task, member)}
    others = frozenset(task.name for task in member.tasks) - always
    waits = Waits(after=frozenset(always), passed=others)
    return waits.and_those(member.waits) if others else waits


def _always_runs(task: Task, member: Member) -> bool:
    """Tell whether it runs whenever the group does, and fails or succeeds with it."""
    guarded = set(task.when) - set(member.waits.when)
    in_a_loop = task.loops != member.loops
    return not (guarded or in_a_loop or task.behind or set(task.passed) - member.waits.passed)
