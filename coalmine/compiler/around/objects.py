"""Objects of Kubernetes that both targets need."""

from __future__ import annotations

from typing import Any

from coalmine._base.errors import InputError

__all__ = ["binding", "parameter_values", "role", "run_account", "service_account", "start_account"]

RBAC = "rbac.authorization.k8s.io"


def run_account(pipeline: str) -> str:
    """Name the account that the tasks of a pipeline run as."""
    return f"{pipeline}-run"


def start_account(pipeline: str) -> str:
    """Name the account that starts runs of a pipeline."""
    return f"{pipeline}-start"


def service_account(name: str) -> dict[str, Any]:
    """Make an account."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def role(
    name: str, rules: list[tuple[str, list[str], list[str]]], *, cluster: bool = False
) -> dict[str, Any]:
    """Make a role.

    Args:
        name: Its name.
        rules: For each an API group, its resources and what may be done with them.
        cluster: Whether it is about objects that stand in no namespace.
    """
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole" if cluster else "Role",
        "metadata": {"name": name},
        "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": verbs}
            for group, resources, verbs in rules
        ],
    }


def binding(name: str, account: str, *, namespace: str = "") -> dict[str, Any]:
    """Give an account the role of the same name; with a namespace, that of the whole cluster."""
    kind = "ClusterRole" if namespace else "Role"
    subject = {"kind": "ServiceAccount", "name": account}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{**subject, "namespace": namespace} if namespace else subject],
    }


def parameter_values(
    values: dict[str, str], *, forbidden: str, target: str
) -> list[dict[str, str]]:
    """Write the values of a run.

    Raises:
        InputError: One holds what the target would expand.
    """
    for name, value in values.items():
        if any(part in value for part in forbidden.split()):
            raise InputError(
                f"{value!r} holds what {target} would expand: {forbidden}", field=f"--param {name}"
            )
    return [{"name": name, "value": value} for name, value in values.items()]
