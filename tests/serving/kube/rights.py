"""Which rights releases asked for, and which a shipped Role grants."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.kubeapi.server import KubeApi

__all__ = ["Right", "asked", "granted"]

DEPLOY = Path(__file__).parents[3] / "deploy" / "serving"
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Right = tuple[str, str, str]


def asked(api: KubeApi) -> set[Right]:
    """Name every right that was used; which kinds there are, every account may ask."""
    return {_right(verb, path) for verb, path, _ in api.app.requests if "/namespaces/" in path}


def granted(name: str) -> set[Right]:
    """Name every right of a shipped Role."""
    role = next(iter(yaml.safe_load_all((DEPLOY / name).read_text())))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _right(method: str, path: str) -> Right:
    parts = path.partition("?")[0].strip("/").split("/")
    group = parts[1] if parts[0] == "apis" else ""
    plural, *name = parts[parts.index("namespaces") + 2 :]
    resource = "/".join([plural, *name[1:2]])
    return group, resource, VERBS.get(method, "get" if name else "list")
