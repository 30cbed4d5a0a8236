"""How every release begins: retrieve, build, canary; and how each share of its canary is judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfp import dsl

from parts import Builder, build, built_by, canary, gate, guard, retrieve

__all__ = ["Trial", "put_on_trial"]


@dataclass(frozen=True)
class Trial:
    """A canary that has its first share of the traffic.

    Attributes:
        task: The task that gave it the share.
        owned: The inputs of every task that changes the traffic.
        watched: What tells the gate how to judge, and where to ask.
        asked: Who tells the gate what a person decided.
    """

    task: dsl.PipelineTask
    owned: Mapping[str, Any]
    watched: Mapping[str, Any]
    asked: Mapping[str, Any]

    def judged(self, since: object) -> dsl.PipelineTask:
        """Judge the share that the canary has had since a time."""
        task = gate(
            canary=self.task.outputs["canary"],
            stable=self.task.outputs["stable"],
            since=since,
            **self.owned,
            **self.watched,
            **self.asked,
        )
        # A policy limits its gate itself; a day leaves time for a person where one is asked.
        return guard(task, minutes=24 * 60, retries=2)


def put_on_trial(
    *,
    wanted: Mapping[str, Any],
    made: Mapping[str, Any],
    share: Mapping[str, Any],
    owned: Mapping[str, Any],
    watched: Mapping[str, Any],
    asked: Mapping[str, Any],
    builder: Builder | None = None,
) -> Trial:
    """Wire the tasks that bring a bento's canary its first share of the traffic.

    Args:
        wanted: Inputs of retrieve alone: which bento, and where it comes from.
        made: Inputs of build alone: of what kind the image is, and where it goes.
        share: Inputs of canary alone: how much it gets.
        owned: The inputs of every task that changes the traffic.
        watched: Inputs of canary and gate: the policy, and where to ask.
        asked: Inputs of gate alone: who tells it what a person decided.
        builder: What builds; without one, the build step's own default.
    """
    bento = guard(retrieve(**wanted), minutes=10, retries=3)
    named = {"builder": builder.name} if builder else {}
    image = built_by(builder, build(context=bento.outputs["context"], **made, **named))
    guard(image, minutes=60 if builder else 15, retries=2)
    task = canary(
        image=image.outputs["image"],
        version=bento.outputs["version"],
        **share,
        **owned,
        **watched,
    )
    return Trial(guard(task, minutes=10, retries=2), owned, watched, asked)
