"""Where the commands read releases: a ledger, or a launcher elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalmine._base.errors import InputError

if TYPE_CHECKING:
    from coalmine.launcher.query import Query

__all__ = ["Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads releases.

    Attributes:
        state: The state folder.
        url: Base URL of the launcher to ask; empty to read a ledger.
        token: Shown to the launcher, if any.
        database: URL of the ledger; empty for the one in the folder.
    """

    state: Path
    url: str = ""
    token: str = ""
    database: str = ""

    def one(self, release_id: str) -> dict[str, Any]:
        """Read one release, by its id; in a ledger a beginning of it will do.

        Raises:
            InputError: There is no such release.
            CoalmineError: It cannot be read.
        """
        _check_given(release_id)
        if self.url:
            from coalmine.client.launcher import get_release  # noqa: PLC0415 - `--help` is quick

            return get_release(self.url, release_id, token=self.token)
        from coalmine.launcher.read import read_release  # noqa: PLC0415 - as above

        return read_release(self.state, release_id, database=self.database)

    def some(self, query: Query) -> list[dict[str, Any]]:
        """Read the newest releases that a query takes, the newest last.

        Raises:
            InputError: There is no ledger, or the query is refused.
            CoalmineError: They cannot be read.
        """
        if self.url:
            from coalmine.client.launcher import get_releases  # noqa: PLC0415 - as above

            return get_releases(self.url, query.parameters(), token=self.token)[::-1]
        from coalmine.launcher.read import read_releases  # noqa: PLC0415 - as above

        return read_releases(self.state, query, database=self.database)

    def whole(self, release_id: str) -> str:
        """Give a release's whole id.

        Raises:
            InputError: There is no such release in the ledger.
        """
        _check_given(release_id)
        return release_id if self.url else str(self.one(release_id)["id"])

    def launcher(self) -> str:
        """Find the launcher to ask: that which is named, or one that works with the ledger.

        Raises:
            CoalmineError: There is none.
        """
        if self.url:
            return self.url
        if self.database:
            from coalmine.launcher.place import living_launcher  # noqa: PLC0415 - as above

            return living_launcher(self.state, self.database)
        from coalmine.cli.send import find_launcher  # noqa: PLC0415 - as above

        return find_launcher(self.state)


def _check_given(release_id: str) -> None:
    # Every id begins with nothing: where there is one release, an unset variable would name it.
    if not release_id:
        raise InputError("the release's id is empty", field="ID", fix="see: coalmine runs")
