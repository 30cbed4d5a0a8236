"""Which store a reference means."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from coalmine._base.errors import InputError
from coalmine.stores.limits import read_limits
from coalmine.stores.local import LocalStore
from coalmine.stores.protocol import PushStore, Store

__all__ = ["select_push_store", "select_store"]


def select_store(reference: str, *, own: Path) -> Store:
    """Open the store that is meant.

    Args:
        reference: Empty or ``local`` for our own store; a folder, as a path with a slash or a
            ``file://`` URL, for the store in that BENTOML_HOME; ``s3://bucket/prefix`` or
            ``oci://host/path``; ``bentocloud``.
        own: BENTOML_HOME of our own store.

    Raises:
        InputError: It is another kind of place, or the folder is not there.
    """
    if reference in {"", "local"}:
        return LocalStore(own)
    if reference == "bentocloud":
        from coalmine.stores.cloud import CloudStore  # noqa: PLC0415 - only where it is used

        return CloudStore()
    if _is_remote(reference):
        return select_push_store(reference)
    home = _home(reference)
    if not home.is_dir():
        raise InputError(
            f"there is no folder {home}",
            field="store",
            fix="name a BENTOML_HOME, for example ~/bentoml",
        )
    return LocalStore(home)


def select_push_store(reference: str) -> PushStore:
    """Open a store that bentos can be put into.

    Args:
        reference: ``s3://bucket/prefix`` or ``oci://host/path``.

    Raises:
        InputError: It is another kind of place.
    """
    if reference.startswith("s3://"):
        from coalmine.stores.bucket import BucketStore  # noqa: PLC0415 - only where one is used
        from coalmine.stores.objects import open_objects  # noqa: PLC0415

        return BucketStore(open_objects(reference, field="store"), read_limits())
    if reference.startswith("oci://"):
        from coalmine.registry.options import options_from  # noqa: PLC0415
        from coalmine.stores.registry import RegistryStore  # noqa: PLC0415

        return RegistryStore(reference, options_from(os.environ), read_limits())
    raise InputError(
        f"{reference!r} is no store that bentos can be put into",
        field="store",
        fix="give s3://bucket/prefix or oci://host/path",
    )


def _is_remote(reference: str) -> bool:
    return reference.startswith(("s3://", "oci://"))


def _home(reference: str) -> Path:
    url = urlsplit(reference)
    if url.scheme == "file" and url.netloc in {"", "localhost"} and url.path:
        return Path(unquote(url.path))
    if not url.scheme and reference.startswith(("/", "./", "../", "~")):
        return Path(reference).expanduser().absolute()
    raise InputError(
        f"{reference!r} is no store that can be read",
        field="store",
        fix="use local, a path that begins with / or ./ or ~ of a BENTOML_HOME, file:///path of "
        "one, s3://bucket/prefix, oci://host/path or bentocloud",
    )
