"""A promotion that was decided, and could not be carried out."""

from __future__ import annotations

from coalmine._base.errors import InputError
from coalmine.serving.protocol import ReleaseRecord

__all__ = ["TakenBackError"]


class TakenBackError(InputError):
    """A promotion was decided, could not be carried out, and was taken back.

    Args:
        record: The release's record, in phase ``ROLLED_BACK``.
        why: What kept the traffic from moving.
    """

    def __init__(self, record: ReleaseRecord, why: str) -> None:
        super().__init__(
            f"the promotion of {record.release_id} was taken back: {why}",
            fix="mend what the reason names, and ask for a new release",
        )
        self.record = record
