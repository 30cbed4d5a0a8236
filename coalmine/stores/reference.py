"""Build contexts by reference: put where another machine can read them, and fetched from there.

A reference names its content, so a context that is there already is not sent, and what was fetched
is compared with its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from coalmine._base.errors import InputError
from coalmine.stores.archive import extract
from coalmine.stores.context import digest_of_folder, keep_context
from coalmine.stores.gz import wrapped_gz
from coalmine.stores.limits import Limits, read_limits
from coalmine.stores.pack import tar_of

if TYPE_CHECKING:
    from coalmine.stores.objects import Objects, Stored

__all__ = ["find_there", "in_bucket", "open_context", "publish_context", "unpack_from"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".tar.gz"  # kaniko, which may fetch it itself, reads nothing else


def publish_context(
    context: Path, where: str, *, environ: Mapping[str, str] = os.environ
) -> tuple[str, int]:
    """Put a context where the build step can read it.

    Args:
        context: A folder that ``keep_context`` gave.
        where: ``s3://bucket/prefix`` or ``oci://host/path``; empty means that it stays where it is.
        environ: Says how buckets and registries are reached.

    Returns:
        Its reference, and how many bytes were sent.

    Raises:
        InputError: It is no such place, or does not allow it.
        CoalmineError: The place does not answer.
    """
    if not where:
        return context.as_uri(), 0
    if where.startswith("s3://"):
        return _to_bucket(context, where, environ)
    if where.startswith("oci://"):
        return _to_registry(context, where, environ)
    raise InputError(
        f"{where!r} is no place for build contexts",
        field="contexts",
        fix="give s3://bucket/prefix or oci://host/path; empty means this machine",
    )


def open_context(
    reference: str, contexts: Path, *, environ: Mapping[str, str] = os.environ
) -> Path:
    """Have a context in a folder on this machine, verified.

    Args:
        reference: What ``publish_context`` gave.
        contexts: Where contexts from elsewhere are kept.
        environ: Says how buckets and registries are reached.

    Raises:
        InputError: It is no such reference, or the context is not there or is refused.
        CoalmineError: The place does not answer, or gives another content.
    """
    if reference.startswith("file:"):
        return _on_this_machine(reference)
    limits = read_limits(environ)
    if reference.startswith("s3://"):
        wanted, fetch = _from_bucket(reference, limits, environ)
    elif reference.startswith("oci://"):
        wanted, fetch = "", _from_registry(reference, limits, environ)
    else:
        raise _no_reference(reference)
    found, _ = keep_context(contexts, fetch, source=reference, wanted=wanted)
    return found


def _to_bucket(context: Path, where: str, environ: Mapping[str, str]) -> tuple[str, int]:
    from coalmine.stores.objects import open_objects  # noqa: PLC0415 - only where one is used

    objects = open_objects(where, field="contexts", environ=environ)
    key, sent = context.name + _SUFFIX, 0

    def counted(size: int) -> None:
        nonlocal sent
        sent += size

    if objects.find(key) is None:
        objects.write(key, _counted(context, counted), {})
    return f"{objects.url}/{key}", sent


def _to_registry(context: Path, where: str, environ: Mapping[str, str]) -> tuple[str, int]:
    from coalmine.registry.address import parse_remote  # noqa: PLC0415
    from coalmine.registry.client import open_repository  # noqa: PLC0415
    from coalmine.registry.options import options_from  # noqa: PLC0415
    from coalmine.stores import artifact  # noqa: PLC0415

    place = parse_remote(where, field="contexts")
    if place.tag or place.digest:
        raise InputError(
            f"{where!r} has a tag or digest", field="contexts", fix="give oci://host/path"
        )
    packed = artifact.pack(context)
    digest, sent = packed.manifest.digest, 0
    with open_repository(place.repository, options_from(environ), writes=True) as remote:
        if not remote.has_manifest(digest):
            sent = artifact.push(remote, packed, f"context-{context.name}")
    return f"oci://{place.repository}@{digest}", sent


def _from_bucket(
    reference: str, limits: Limits, environ: Mapping[str, str]
) -> tuple[str, Callable[[Path], None]]:
    objects, key, wanted = in_bucket(reference, environ)
    return wanted, lambda into: unpack_from(objects, find_there(objects, key), into, limits)


def in_bucket(reference: str, environ: Mapping[str, str]) -> tuple[Objects, str, str]:
    """Open the place of a context in a bucket.

    Returns:
        The place, the context's key there, and its digest.

    Raises:
        InputError: It is no reference to such a context.
    """
    from coalmine.stores.objects import open_objects  # noqa: PLC0415

    where, _, key = reference.rpartition("/")
    wanted = key.removesuffix(_SUFFIX)
    if not key.endswith(_SUFFIX) or not _DIGEST.fullmatch(wanted):
        raise _no_reference(reference)
    return open_objects(where, field="context", environ=environ), key, wanted


def find_there(objects: Objects, key: str) -> Stored:
    """Look a context up.

    Raises:
        InputError: It is not there.
        CoalmineError: The bucket does not answer.
    """
    stored = objects.find(key)
    if stored is None:
        raise _gone(f"{objects.url}/{key}")
    return stored


def unpack_from(objects: Objects, stored: Stored, into: Path, limits: Limits) -> None:
    """Fetch a context's archive, as it was when it was looked up, and unpack it.

    Raises:
        InputError: It is refused.
        CoalmineError: The bucket does not answer, or the archive was written anew.
    """
    archive = into.with_name("archive")
    with archive.open("wb") as file:
        file.writelines(objects.read(stored))
    extract(archive, into, limits)


def _from_registry(
    reference: str, limits: Limits, environ: Mapping[str, str]
) -> Callable[[Path], None]:
    from coalmine.registry.address import parse_remote  # noqa: PLC0415
    from coalmine.registry.client import open_repository  # noqa: PLC0415
    from coalmine.registry.options import options_from  # noqa: PLC0415
    from coalmine.stores import artifact  # noqa: PLC0415

    place = parse_remote(reference, field="context")
    if not place.digest or place.tag:
        raise _no_reference(reference)
    options = options_from(environ)

    def fetch(into: Path) -> None:
        with open_repository(place.repository, options) as remote:
            manifest = remote.pull_manifest(place.digest)
            if manifest is None:
                raise _gone(reference)
            artifact.pull(remote, manifest, into, limits)

    return fetch


def _on_this_machine(reference: str) -> Path:
    url = urlsplit(reference)
    folder = Path(unquote(url.path))
    if url.netloc not in {"", "localhost"} or not folder.is_absolute() or url.query:
        raise _no_reference(reference)
    if not folder.is_dir():
        raise InputError(
            f"there is no build context {folder}",
            field="context",
            fix="run retrieve again; where steps share no disk, give it --contexts",
        )
    return _unchanged(folder) if _DIGEST.fullmatch(folder.name) else folder


def _unchanged(folder: Path) -> Path:
    if digest_of_folder(folder) != folder.name:
        raise InputError(
            f"the build context {folder} was changed after it was retrieved",
            field="context",
            fix="run retrieve again, which fetches it anew",
        )
    return folder


def _counted(context: Path, report: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in wrapped_gz(tar_of(context)):
        report(len(chunk))
        yield chunk


def _no_reference(reference: str) -> InputError:
    return InputError(
        f"{reference!r} is no reference to a build context",
        field="context",
        fix="give the output context of the retrieve step",
    )


def _gone(reference: str) -> InputError:
    return InputError(
        f"there is no build context {reference}", field="context", fix="run retrieve again"
    )
