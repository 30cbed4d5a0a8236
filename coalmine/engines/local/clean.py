"""Removes runs from the record of the local engine, whether it is at work or not."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dbos import DBOSClient
from sqlalchemy.exc import SQLAlchemyError

from coalmine._base.errors import CoalmineError
from coalmine.engines.local.durable import ACTIVE, DATABASE, database_url

__all__ = ["clean_runs"]

AT_ONCE = 200
"""In one commit, so that the engine does not wait long for its turn."""


def clean_runs(state: Path, runs: Iterable[str], *, dry_run: bool) -> int:
    """Remove runs that have ended, with the steps they were made of; the file stays as large.

    What they held is used again for what comes: so the file does not grow. A run that goes on by
    the record is left alone.

    Args:
        state: The state folder.
        runs: Their ids; those that the record does not have do not matter.
        dry_run: Remove nothing.

    Returns:
        The number of those that were there.

    Raises:
        CoalmineError: The record cannot be used; what was removed by then is.
    """
    database, left = state / DATABASE, iter(runs)
    if not database.is_file():
        return 0
    count = 0
    with _opened(database) as client:
        while some := list(itertools.islice(left, AT_ONCE)):
            ended = _ended(client, some)
            count += len(ended)
            if ended and not dry_run:
                client.delete_workflows(ended)
    return count


def _ended(client: DBOSClient, runs: Sequence[str]) -> list[str]:
    found = client.list_workflows(workflow_ids=list(runs), load_input=False, load_output=False)
    return [one.workflow_id for one in found if one.status not in ACTIVE]


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[DBOSClient]:
    try:
        client = DBOSClient(
            system_database_url=database_url(database), retry_connection_errors=False
        )
        try:
            yield client
        finally:
            client.destroy()
    except SQLAlchemyError as error:
        raise CoalmineError(
            f"the engine's database {database} cannot be used: {error}",
            fix="see that its folder can be written, and try again",
        ) from error
