"""What becomes of releases that are asked for: a pure decision on what the ledger knows.

"Older" and "newer" are meant in the order of acceptance: the order in which the ledger's
transactions put releases into it, whatever the events themselves say of their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from coalmine._base.errors import InputError
from coalmine.launcher.release import Conflict, NewRelease, ReleaseState

__all__ = ["Admission", "Admitted", "Claim", "ConflictError", "Group", "Known", "admit"]

Group = Sequence[NewRelease]
"""The releases of one message: all are accepted, or none."""


class ConflictError(InputError):
    """The service of a release has one that has not ended, and the binding says to refuse it."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What one event came to.

    Attributes:
        release_id: The release it means.
        state: Where that release is.
        new: Whether this event was the first to ask for it.
    """

    release_id: str
    state: str
    new: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A key under which a release was asked for.

    Attributes:
        release_id: The release.
        at: When, in seconds since 1970.
    """

    release_id: str
    at: float


@dataclass(slots=True)
class Known:
    """What the ledger knows of the releases that are asked for; grows as they are admitted.

    Attributes:
        states: The state of each release by its id.
        claims: By key.
        open: The ids of the releases that have not ended, by service, the oldest first.
    """

    states: dict[str, str] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    open: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Admission:
    """What to write, and what to answer.

    Attributes:
        answers: For each group what its events came to, or why it was refused.
        inserts: New releases, in the order of acceptance.
        claims: By key.
        superseded: From the id of a release that shall end to the id of the one it makes way for.
    """

    answers: list[list[Admitted] | ConflictError] = field(default_factory=list)
    inserts: list[NewRelease] = field(default_factory=list)
    claims: dict[str, Claim] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)


def admit(groups: Sequence[Group], known: Known, now: float) -> Admission:
    """Decide what becomes of the releases of several messages, in their order.

    Args:
        groups: The messages' releases.
        known: What the ledger knows of them; changed as they are admitted.
        now: Seconds since 1970.
    """
    admission = Admission()
    for group in groups:
        refusal = _refusal(group, known, now)
        if refusal:
            admission.answers.append(refusal)
        else:
            admission.answers.append([_admit_one(one, known, admission, now) for one in group])
    return admission


def _refusal(group: Group, known: Known, now: float) -> ConflictError | None:
    asked: dict[str, str] = {}
    for release in group:
        if _met(release, known, now) or release.id in asked.values():
            continue
        busy = [*known.open.get(release.service, ()), *asked.get(release.service, "").split()]
        asked[release.service] = release.id
        if release.on_conflict is Conflict.REJECT and busy:
            return ConflictError(
                f"the service {release.service} has the release {busy[0]}, which has not ended, "
                f"and the binding {release.binding} takes no second one",
                fix="send it again when that has ended, or cancel it",
            )
    return None


def _met(release: NewRelease, known: Known, now: float) -> str:
    """Find the release that was asked for by this event before, or by one that says the same."""
    if release.id in known.states:
        return release.id
    if alias := known.claims.get(release.id):
        return alias.release_id
    claim = known.claims.get(release.content_key) if release.content_key else None
    # A clock that jumped, either way, must not make a claim hold for longer than was said.
    if claim and abs(now - claim.at) < release.within:
        return claim.release_id
    return ""


def _admit_one(release: NewRelease, known: Known, admission: Admission, now: float) -> Admitted:
    met = _met(release, known, now)
    if met:
        if release.content_key and met != release.id:
            _claim(release.id, met, known, admission, now)
        return Admitted(met, known.states.get(met, ReleaseState.ACCEPTED.value), new=False)
    if release.content_key:
        _claim(release.content_key, release.id, known, admission, now)
    before = known.open.setdefault(release.service, [])
    if release.on_conflict is Conflict.SUPERSEDE:
        for older in before:
            admission.superseded.setdefault(older, release.id)
    before.append(release.id)
    known.states[release.id] = ReleaseState.ACCEPTED.value
    admission.inserts.append(release)
    return Admitted(release.id, ReleaseState.ACCEPTED.value, new=True)


def _claim(key: str, release_id: str, known: Known, admission: Admission, now: float) -> None:
    known.claims[key] = admission.claims[key] = Claim(release_id, now)
