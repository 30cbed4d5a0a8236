"""Files that no image should hold: whoever can pull it can read them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from coalmine._base.errors import InputError
from coalmine.images.plan import Entry, Kind

__all__ = ["is_secret_name", "refuse_secrets"]

_NAMES = re.compile(
    r"\.env(?!\.(?:example|sample|template|dist)$)(?:\..+)?"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)|.+\.(?:p12|pfx|jks|keystore|kdbx)"
    r"|\.netrc|\.pypirc|\.git-credentials|\.dockerconfigjson|\.dockercfg|\.htpasswd|\.pgpass"
    r"|kubeconfig|\.terraformrc"
)
_PATHS = {".docker/config.json", ".aws/credentials", ".kube/config", ".ssh/config"}
_MAY_HOLD_KEYS = {".pem", ".key"}
_PRIVATE = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_LOOK_AT = 64 << 10
_SHOWN = 5


def is_secret_name(path: str) -> bool:
    """Tell by its name alone whether a file is a secret."""
    parts = PurePosixPath(path)
    return (
        _NAMES.fullmatch(parts.name.lower()) is not None
        or "/".join(parts.parts[-2:]).lower() in _PATHS
    )


def refuse_secrets(entries: Iterable[Entry], context: Path) -> None:
    """Refuse a context with secrets in it. ``.pem`` and ``.key`` files count by their content.

    Raises:
        InputError: It has some; they are named.
        OSError: A file cannot be read.
    """
    found = [entry.path for entry in entries if _is_secret(entry, context)]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise InputError(
            f"the bento holds what looks like secrets: {', '.join(found[:_SHOWN])}{more}",
            field="context",
            fix="list them in .bentoignore or under exclude: in the bentofile, build the bento "
            "again, and give them to the service as a Secret of the cluster",
        )


def _is_secret(entry: Entry, context: Path) -> bool:
    if entry.kind is Kind.FOLDER:
        return False
    if is_secret_name(entry.path):
        return True
    if entry.kind is Kind.LINK or PurePosixPath(entry.path).suffix.lower() not in _MAY_HOLD_KEYS:
        return False
    with (context / entry.path).open("rb") as file:
        return _PRIVATE.search(file.read(_LOOK_AT)) is not None
