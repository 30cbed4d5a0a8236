"""What Kubernetes would refuse of a pod: found when the pipeline is read, not when the pod is made.

The rules are those of the Kubernetes API: names are DNS labels or subdomains (RFC 1123), a label's
value has at most 63 characters, a volume has one name and a path one mount.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from coalmine.compiler.podspec import Pod, Toleration, Volume

__all__ = ["problem"]

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DNS_LABEL = re.compile(LABEL)
SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*")
WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = re.compile(rf"({WORD})?")
QUALIFIED = re.compile(rf"((?=[^/]{{1,253}}/){LABEL}(\.{LABEL})*/)?{WORD}")
VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


def problem(pod: Pod) -> str:
    """Say what Kubernetes would refuse; empty if nothing."""
    return next((found for found in _problems(pod)), "")


def _problems(pod: Pod) -> Iterator[str]:
    yield from _of_names(pod)
    yield from _of_mounts(pod.volumes)
    yield from _of_empty_folders(item for item in pod.volumes if item.kind == "emptyDir")
    for item in pod.tolerations:
        if found := _of_toleration(item):
            yield f"a toleration of {item.key!r} {found}"


def _of_names(pod: Pod) -> Iterator[str]:
    """Hold every name and every value against its form."""
    objects = [item.source for item in pod.env if item.kind != "fieldRef"]
    objects += [item.source for item in pod.volumes if item.kind != "emptyDir"]
    pairs = (*pod.labels, *pod.node_selector)
    forms = [
        ("an environment variable", VARIABLE, [item.name for item in pod.env]),
        ("a secret, config map or claim", SUBDOMAIN, [*objects, *pod.pull_secrets]),
        ("an empty folder", DNS_LABEL, [v.source for v in pod.volumes if v.kind == "emptyDir"]),
        ("a label or annotation", QUALIFIED, [key for key, _ in (*pairs, *pod.annotations)]),
    ]
    for what, form, names in forms:
        yield from (
            f"{what} cannot be called {name!r}" for name in names if not form.fullmatch(name)
        )
    for key, value in pairs:
        if not LABEL_VALUE.fullmatch(value):
            yield f"the label {key!r} cannot be {value!r}"


def _of_mounts(volumes: Iterable[Volume]) -> Iterator[str]:
    paths = sorted(item.path for item in volumes)
    yield from (f"nothing can be mounted at {path!r}" for path in paths if not path or ":" in path)
    yield from (
        f"two volumes are mounted at {one}" for one, other in pairwise(paths) if one == other
    )


def _of_empty_folders(volumes: Iterable[Volume]) -> Iterator[str]:
    known: dict[str, Volume] = {}
    for item in volumes:
        first = known.setdefault(item.source, item)
        if (first.medium, first.size) != (item.medium, item.size):
            yield f"the empty folder {item.source!r} is said twice, and differently"


def _of_toleration(item: Toleration) -> str:
    if not item.key and item.operator != "Exists":
        return "needs the operator Exists to bear every taint"
    if item.operator == "Exists" and item.value:
        return "has the operator Exists, and so may have no value"
    if item.seconds is not None and item.effect != "NoExecute":
        return "has seconds, and so needs the effect NoExecute"
    return ""
