"""A release's record and how it may change. Pure: no clock, no file."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.protocol import Phase, ReleaseRecord

__all__ = [
    "begun",
    "promoted",
    "retired",
    "routed",
    "shifted",
    "split",
    "undone",
    "withdrawn",
]

UNFINISHED = frozenset({Phase.PREPARING, Phase.CANARY})
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
"""No dots: Envoy's metrics cut a cluster's name at the first."""


def begun(
    previous: ReleaseRecord | None,
    *,
    service: str,
    image: str,
    version: str,
    percent: int,
    release_id: str,
) -> ReleaseRecord:
    """Let a release take over a service, or go on where it was.

    Args:
        previous: The newest record of the service.
        service: What users call.
        image: The canary's image, by digest.
        version: Its bento's version.
        percent: 1 to 99.
        release_id: The release.

    Returns:
        ``previous`` itself if the release owns the service already, else a new record.

    Raises:
        InputError: A value is out of range, or is not what the release began with.
        CoalmineError: Another release is unfinished, or this one has ended.
    """
    _check_values(service, image, percent, release_id)
    if previous and previous.release_id == release_id:
        return _gone_on(previous, image)
    if previous and previous.phase in UNFINISHED:
        raise CoalmineError(
            f"the service {service} is owned by the release {previous.release_id}, "
            f"which is in phase {previous.phase}",
            fix="wait until it has ended, or end it with: "
            f"coalmine step rollback --service {service} --release-id {previous.release_id}",
        )
    stable, stable_version = _stable_after(previous)
    return ReleaseRecord(
        service=service,
        release_id=release_id,
        phase=Phase.PREPARING,
        canary=f"{service}-{release_id}",
        canary_image=image,
        canary_version=version,
        stable=stable,
        stable_version=stable_version,
        percent=percent if stable else 100,
    )


def routed(record: ReleaseRecord, now: datetime) -> ReleaseRecord:
    """Note when the canary was first seen to have its share."""
    return record if record.canary_since else replace(record, canary_since=now)


def promoted(record: ReleaseRecord | None, release_id: str, service: str) -> ReleaseRecord:
    """Make the canary the stable version.

    Raises:
        CoalmineError: The release does not own the service, or has no canary with traffic.
    """
    owned = _owned(record, release_id, service)
    if owned.phase is Phase.PROMOTED:
        return owned
    if owned.phase is not Phase.CANARY or owned.canary_since is None:
        raise CoalmineError(
            f"the release {release_id} of {service} has no canary to promote: "
            f"it is in phase {owned.phase}"
        )
    return replace(owned, phase=Phase.PROMOTED)


def shifted(
    record: ReleaseRecord | None, release_id: str, service: str, percent: int
) -> ReleaseRecord:
    """Give the canary another share; since when it has it is found out anew.

    Raises:
        InputError: The percent is out of range.
        CoalmineError: The release does not own the service, or has no canary beside a stable one.
    """
    _check_percent(percent)
    owned = _owned(record, release_id, service)
    if owned.phase is not Phase.CANARY:
        raise CoalmineError(
            f"the release {release_id} of {service} has no canary to give another share: "
            f"it is in phase {owned.phase}"
        )
    if not owned.stable or owned.percent == percent:
        return owned
    return replace(owned, percent=percent, canary_since=None)


def undone(record: ReleaseRecord) -> ReleaseRecord:
    """Take a promotion back that was decided, and never routed because its server cannot start."""
    return replace(record, phase=Phase.ROLLED_BACK)


def withdrawn(record: ReleaseRecord) -> ReleaseRecord:
    """Take the canary away, unless it was promoted or is away already."""
    ends = {Phase.PREPARING: Phase.REMOVED, Phase.CANARY: Phase.ROLLED_BACK}
    return replace(record, phase=ends.get(record.phase, record.phase))


def split(record: ReleaseRecord) -> dict[str, int]:
    """Tell how the traffic shall be split in the record's phase: percent by revision."""
    if record.phase is Phase.PROMOTED:
        return {record.canary: 100}
    if record.phase is not Phase.CANARY:
        return {record.stable: 100} if record.stable else {}
    if not record.stable:
        return {record.canary: 100}
    return {record.stable: 100 - record.percent, record.canary: record.percent}


def retired(record: ReleaseRecord) -> str:
    """Name the revision that is of no more use in the record's phase; empty if there is none."""
    if record.phase in UNFINISHED:
        return ""
    return record.stable if record.phase is Phase.PROMOTED else record.canary


def _owned(record: ReleaseRecord | None, release_id: str, service: str) -> ReleaseRecord:
    if record is None or record.release_id != release_id:
        owner = f"the release {record.release_id} does" if record else "no release does"
        raise CoalmineError(f"the release {release_id} does not own the service {service}: {owner}")
    return record


def _stable_after(record: ReleaseRecord | None) -> tuple[str, str]:
    if record is None:
        return "", ""
    if record.phase is Phase.PROMOTED:
        return record.canary, record.canary_version
    return record.stable, record.stable_version


def _gone_on(record: ReleaseRecord, image: str) -> ReleaseRecord:
    if record.phase not in UNFINISHED:
        raise CoalmineError(
            f"the release {record.release_id} of {record.service} has ended as {record.phase}",
            fix="ask for a new release",
        )
    if record.canary_image != image:
        raise InputError(
            f"the release {record.release_id} of {record.service} began with another image, "
            f"{record.canary_image}",
            field="image",
            fix="give that image, or ask for a new release",
        )
    return record


def _check_values(service: str, image: str, percent: int, release_id: str) -> None:
    for field, value in (("service", service), ("release_id", release_id)):
        if not NAME.fullmatch(value):
            raise InputError(
                f"{value!r} is no name",
                field=field,
                fix="use up to 63 letters, digits, - and _, with a letter or digit at both ends",
            )
    if not image:
        raise InputError("is empty", field="image", fix="give an image by digest")
    _check_percent(percent)


def _check_percent(percent: int) -> None:
    if not 1 <= percent <= 99:  # noqa: PLR2004
        raise InputError(f"{percent} is not from 1 to 99", field="percent", fix="give 10")
