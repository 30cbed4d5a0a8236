"""The serving backend of Flagger: as every backend on Kubernetes, but Flagger has the last word.

What it has passed is promoted, also where the release was about to end otherwise; what it has
failed is not promoted, whatever the gate said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.flagger.run import Ruled, Ruling, ruling_of
from coalmine.serving.flagger.seen import Seen
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import StaleError
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.ownership import NotOwnerError
from coalmine.serving.protocol import Phase, ReleaseRecord
from coalmine.serving.record import UNFINISHED

__all__ = ["FlaggerServing"]


class FlaggerServing(KubeServing[Seen]):
    """Lets Flagger split the traffic in one namespace; see `ServingBackend`."""

    def ruling(self, *, service: str, release_id: str) -> Ruling:
        """Tell what Flagger has said of a release's canary by now.

        Raises:
            NotOwnerError: The release does not own the service, or was ended.
            StaleError: The server cannot be asked now.
        """
        kept = self._own.read(service)
        if kept is None or kept.record.release_id != release_id:
            raise NotOwnerError(f"the release {release_id} does not own the service {service}")
        if kept.record.phase not in {Phase.CANARY, Phase.PROMOTED}:
            raise NotOwnerError(f"the release {release_id} was ended as {kept.record.phase}")
        return ruling_of(self._moves.look(self._kube, service), kept)

    def promote(self, *, service: str, release_id: str) -> ReleaseRecord:
        """Wait until Flagger has promoted the canary; see `ServingBackend.promote`."""
        kept = self._patiently(lambda: self._own.read(service))
        if kept and kept.record.release_id == release_id and kept.record.phase is Phase.CANARY:
            ruling = self._until(kept.record, lambda now: now.done and now.ruled is not Ruled.OPEN)
            if ruling.ruled is Ruled.FAILED:
                raise InputError(
                    f"the canary of {service} cannot be promoted: {ruling.reason}",
                    fix="mend what it names, and ask for a new release",
                )
        return super().promote(service=service, release_id=release_id)

    def rollback(self, *, service: str, release_id: str) -> ReleaseRecord | None:
        """End Flagger's run and put the image back; see `ServingBackend.rollback`.

        What Flagger has passed by now is promoted: a roll-back of that is a release of its own.
        """
        kept = self._patiently(lambda: self._own.read(service))
        if kept and kept.record.release_id == release_id and _may_pass(kept):
            # A promotion that is under way is let finish before anything is written down of it.
            self._until(kept.record, lambda now: now.done or now.ruled is not Ruled.PASSED)
            self._patiently(lambda: self._note_passed(service, release_id))
        return super().rollback(service=service, release_id=release_id)

    def _note_passed(self, service: str, release_id: str) -> None:
        kept = self._own.read(service)
        if kept is None or kept.record.release_id != release_id or not _may_pass(kept):
            return
        ruling = ruling_of(self._moves.look(self._kube, service), kept)
        if ruling.ruled is Ruled.PASSED and ruling.done:
            since = kept.record.canary_since or self._now()
            record = replace(kept.record, phase=Phase.PROMOTED, canary_since=since)
            self._own.write(kept.with_record(record))

    def _until(self, record: ReleaseRecord, enough: Callable[[Ruling], bool]) -> Ruling:
        ends = self._timing.clock() + self._timing.timeout
        said = "Flagger could not be asked"
        while self._timing.clock() < ends:
            try:
                kept = self._own.read(record.service)
                if kept is None or kept.record.release_id != record.release_id:
                    raise NotOwnerError(f"the service {record.service} was taken over meanwhile")
                ruling = ruling_of(self._moves.look(self._kube, record.service), kept)
            except StaleError as fault:
                said = fault.message
            else:
                if enough(ruling):
                    return ruling
                said = ruling.reason
            self._timing.sleep(self._timing.poll)
        raise CoalmineError(
            f"Flagger has not promoted the canary of {record.service} within "
            f"{self._timing.timeout:g} s: {said}"
        )


def _may_pass(kept: Kept) -> bool:
    """Tell whether Flagger's word can still promote a release: a first one has not been judged."""
    return kept.record.phase in UNFINISHED and not kept.notes.get("made")
