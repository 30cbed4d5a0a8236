"""A policy made ready for one canary: its queries written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from coalmine._base.errors import InputError
from coalmine.gate.duration import format_duration
from coalmine.gate.model import Check, Policy
from coalmine.gate.template import VARIABLES, fill_template, is_text, variables_in

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask for one canary.

    Attributes:
        policy: The policy with the checks that apply.
        requests: The query for the counter of the canary's answered requests.
        queries: The query of each check, by its name.
        skipped: Checks that compare with a stable version where there is none.
    """

    policy: Policy
    requests: str
    queries: Mapping[str, str]
    skipped: tuple[str, ...]


def make_plan(policy: Policy, variables: Mapping[str, str]) -> Plan:
    """Write a policy's queries out for one canary.

    Args:
        policy: How it is judged.
        variables: ``service``, ``canary``, ``stable`` and ``namespace``; an absent one is empty. On
            the first release of a service ``stable`` is empty: checks that use it are left out.

    Raises:
        InputError: There is no canary's name, a name is no text, there is no namespace where a
            query uses it, or no check that decides is left.
    """
    values = {name: variables.get(name, "") for name in VARIABLES}
    if not values["canary"]:
        raise InputError("the canary has no name", field="canary", fix="give its revision name")
    _require_text(values)
    live = tuple(
        check for check in policy.checks if values["stable"] or not _needs_stable(check.query)
    )
    if all(check.advisory for check in live):
        raise InputError(
            f"every check of policy {policy.name} that decides needs a stable version, "
            "and there is none",
            field="policy",
            fix="add a check that does not use ${stable}",
        )
    _require_namespace(policy, live, values)
    return Plan(
        policy=replace(policy, checks=live),
        requests=_filled(policy.requests, values, policy.window),
        queries={check.name: _filled(check.query, values, check.over) for check in live},
        skipped=tuple(check.name for check in policy.checks if check not in live),
    )


def _require_text(values: Mapping[str, str]) -> None:
    """Refuse bytes of an argument that are no UTF-8: Python keeps them as lone surrogates."""
    for name, value in values.items():
        if not is_text(value):
            raise InputError(f"{value!r} is no UTF-8 text", field=name, fix="give the name as text")


def _require_namespace(policy: Policy, live: Sequence[Check], values: Mapping[str, str]) -> None:
    if values["namespace"]:
        return
    asked = {"requests": policy.requests, **{check.name: check.query for check in live}}
    for name, query in asked.items():
        if "namespace" in variables_in(query):
            raise InputError(
                f"{name} of policy {policy.name} asks for ${{namespace}}, and none is known",
                field="namespace",
                fix="give --namespace, or set COALMINE_NAMESPACE where the gate runs",
            )


def _needs_stable(query: str) -> bool:
    return "stable" in variables_in(query)


def _filled(query: str, values: Mapping[str, str], window: float) -> str:
    return fill_template(query, {**values, "window": format_duration(window)})
