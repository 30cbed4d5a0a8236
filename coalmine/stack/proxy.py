"""Change what the proxy routes, and see that it does.

A cluster is seen to work before a route leads to it, and has answered its last request before it
goes away: so no request is lost to a change.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.stack.envoy import Admin
from coalmine.stack.layout import Layout
from coalmine.stack.routes import clusters_of, copies_of, routes_of, shares_of
from coalmine.stack.routing import Copied, Routing
from coalmine.stack.waiting import wait_for

__all__ = ["Proxy"]

SEEN_SECONDS = 10.0
DRAIN_SECONDS = 65.0
"""A little more than one request may take."""
SETTLE_SECONDS = 0.2
"""Envoy's main thread tells of a new route before each of its workers has it."""


class Proxy:
    """The routing of one state folder.

    Args:
        layout: The state folder.
        drain_seconds: How long a cluster that lost its traffic may take for its last requests.
    """

    def __init__(self, layout: Layout, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        self.folder = layout.proxy
        self._layout = layout
        self._drain_seconds = drain_seconds

    @property
    def url(self) -> str:
        """Where users call."""
        return self._layout.read_endpoints().proxy

    @property
    def admin(self) -> Admin:
        """Envoy's own word."""
        return Admin(self._layout.read_endpoints().proxy_admin)

    def prepare(self, ports: Mapping[str, int]) -> None:
        """Write all files anew from the table.

        Args:
            ports: Ports of revisions that have changed.
        """
        with self._table() as change:
            change(lambda table: table.with_ports(ports))

    def knows(self, cluster: str) -> bool:
        """Whether there is such a cluster, by the table."""
        return cluster in _read(self.folder / "table.json").clusters

    def revisions(self) -> list[str]:
        """Name the revisions that shall get traffic, by the table."""
        routes = _read(self.folder / "table.json").routes.values()
        return sorted({revision for split in routes for revision in split})

    def add_cluster(self, revision: str, port: int) -> None:
        """Make a revision known, without any traffic.

        Raises:
            CoalmineError: Envoy does not take it.
        """
        with self._table() as change:
            change(lambda table: table.with_cluster(revision, port))
        self._await(lambda: revision in self.admin.hosts(), f"the cluster {revision}")

    def route(
        self,
        service: str,
        shares: Mapping[str, int],
        previews: Mapping[str, str] | None = None,
        copied: Copied | None = None,
    ) -> None:
        """Split a service's traffic, and see that it is split; no shares, no route.

        Args:
            service: The service.
            shares: Percent by revision.
            previews: Revisions that requests with a preview header go to, by the header's value;
                None leaves them as they are.
            copied: Requests of which a cluster gets a copy besides.

        Raises:
            CoalmineError: Envoy does not take it; the message says what is routed.
        """
        with self._table() as change:
            change(lambda table: table.with_route(service, shares, previews, copied))
        wanted = dict(shares), copied.cluster if copied and shares else ""

        def seen() -> bool:
            dump = self.admin.route_dump()
            return (shares_of(dump, service), copies_of(dump, service)) == wanted

        self._await(
            seen,
            f"{service} split as {dict(shares)}",
            lambda: f"; it routes {self.shares(service)}",
        )

    def remove_cluster(self, revision: str) -> None:
        """Let a revision that has no traffic any more answer its last requests, then forget it."""
        if revision in self.admin.hosts():
            time.sleep(SETTLE_SECONDS)
            wait_for(lambda: self.admin.active_requests(revision) == 0, seconds=self._drain_seconds)
        with self._table() as change:
            change(lambda table: table.without_cluster(revision))
        self._await(lambda: revision not in self.admin.hosts(), f"{revision} gone")

    def shares(self, service: str) -> dict[str, int]:
        """Tell how Envoy splits a service's traffic now: percent by revision.

        Raises:
            CoalmineError: Envoy does not answer.
        """
        return shares_of(self.admin.route_dump(), service)

    def _await(
        self, seen: Callable[[], bool], what: str, instead: Callable[[], str] = lambda: ""
    ) -> None:
        self._layout.read_endpoints()  # Where the stack is down there is nothing to wait for.

        def look() -> bool:
            # It may be on its way back after a crash.
            with contextlib.suppress(CoalmineError):
                return seen()
            return False

        if not wait_for(look, seconds=SEEN_SECONDS, every=0.02):
            raise CoalmineError(
                f"the proxy does not show {what} within {SEEN_SECONDS:g} s{instead()}",
                fix=f"look for a rejected configuration in {self._layout.logs / 'envoy.log'}",
            )

    @contextlib.contextmanager
    def _table(self) -> Iterator[Callable[[Callable[[Routing], Routing]], None]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "table.lock"):
            yield self._change

    def _change(self, edit: Callable[[Routing], Routing]) -> None:
        table = edit(_read(self.folder / "table.json"))
        write_atomic(self.folder / "table.json", table.to_json())
        _write_changed(self.folder / "cds" / "clusters.json", clusters_of(table))
        _write_changed(self.folder / "rds" / "routes.json", routes_of(table))


def _read(path: Path) -> Routing:
    try:
        return Routing.from_json(path.read_text())
    except FileNotFoundError:
        return Routing()


def _write_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_atomic(path, text)
