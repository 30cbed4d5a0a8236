"""What a launcher finds out before it begins anything: all its processes have it alike."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError
from coalmine.engines.local.engine import GraphReader
from coalmine.launcher.access import Access, OpenAccess
from coalmine.launcher.bindings import Binding
from coalmine.launcher.buckets import SharedBuckets
from coalmine.launcher.folder import identity
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.listen import check_public, is_loopback
from coalmine.launcher.notes import Notes
from coalmine.launcher.pipelines import (
    find_pipeline,
    judges_of,
    load_checked,
    named_engines,
    pipeline_folders,
)
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.reloaded_access import ReloadedAccess
from coalmine.launcher.settings import Settings
from coalmine.launcher.sinks import Sink, read_sinks

__all__ = ["Plan", "make_plan"]

MOST_RECEIVERS = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before anything is begun.

    Attributes:
        settings: How the launcher runs.
        find: From a pipeline's name to its file.
        judges: Gives the names of a pipeline's tasks that give a verdict.
        engine_names: The words of the engines.
        sinks: Who is told what becomes of releases.
        bindings: Which events start which pipeline.
        access: Who may do what.
        access_files: What says so.
        own_token: With which the launcher's own tasks may ask it.
        counts: The folder in which the processes count together; None where there is but one.
    """

    settings: Settings
    find: Callable[[str], Path]
    judges: Callable[[str], frozenset[str]]
    engine_names: tuple[str, ...]
    sinks: tuple[Sink, ...]
    bindings: Reloaded[tuple[Binding, ...]]
    access: Access
    access_files: tuple[Reloaded[Any], ...]
    own_token: str
    counts: Path | None

    def read_again(self) -> None:
        """Have files read at their next use, whether they seem to have changed or not."""
        for one in (self.bindings, *self.access_files):
            one.again()

    def open_ledger(self, notes: Notes, reached_at: str) -> Ledger:
        """Open the ledger for one process.

        Args:
            notes: What others are told of.
            reached_at: Base URL of the launcher.

        Raises:
            CoalmineError: It cannot be used.
        """
        return Ledger(
            self.settings.database or ledger_url(self.settings.state),
            owner=identity(self.settings.state),
            lease=self.settings.lease,
            notes=notes,
            reached_at=reached_at,
        )


def make_plan(settings: Settings) -> Plan:
    """Find out how a launcher runs; nothing is begun.

    Raises:
        InputError: A setting is wrong.
    """
    if not 1 <= settings.receivers <= MOST_RECEIVERS:
        raise InputError(
            f"{settings.receivers} processes cannot receive events",
            field="--receivers",
            fix=f"give a number from 1 to {MOST_RECEIVERS}, at most that of the processors",
        )
    folders = pipeline_folders(settings.pipelines)

    def find(name: str) -> Path:
        return find_pipeline(name, folders)

    names = settings.engine_names or named_engines(settings.bindings)
    sinks = _sinks(settings)
    if settings.public_url:
        check_public(settings.public_url)
    own_token = secrets.token_urlsafe(32)
    counts = settings.state / "counts" if settings.receivers > 1 else None
    access, access_files = _access(settings, own_token, counts)
    return Plan(
        settings=settings,
        find=find,
        judges=_judges(find, settings.read_graph),
        engine_names=names,
        sinks=sinks,
        bindings=Reloaded(
            lambda: load_checked(settings.bindings, folders, settings.read_graph, names),
            [settings.bindings] if settings.bindings else [],
            "the bindings",
        ),
        access=access,
        access_files=access_files,
        own_token=own_token,
        counts=counts,
    )


def _access(
    settings: Settings, own_token: str, counts: Path | None
) -> tuple[Access, tuple[Reloaded[Any], ...]]:
    """Give who may do what, and the file that says it."""
    if path := settings.access:
        from coalmine.launcher.access_file import load_access  # noqa: PLC0415 - takes a while

        buckets = SharedBuckets(counts / "rates") if counts else None
        guarded = Reloaded(
            lambda: load_access(path, settings.environ, own_token, buckets),
            [path],
            "the access rules",
        )
        return ReloadedAccess(guarded), (guarded,)
    if not is_loopback(settings.host):
        raise InputError(
            f"{settings.host} is beyond loopback, and nothing says who may ask for a release",
            field="--host",
            fix="say it in a file, given with --access (see docs/access.md), or use 127.0.0.1",
        )
    return OpenAccess(), ()


def _sinks(settings: Settings) -> tuple[Sink, ...]:
    sinks = read_sinks(settings.sinks, settings.environ)
    if settings.sinks_file:
        from coalmine.launcher.sinks_file import load_sinks  # noqa: PLC0415 - takes a while

        sinks += load_sinks(settings.sinks_file, settings.environ)
    return sinks


def _judges(
    find: Callable[[str], Path], read_graph: GraphReader
) -> Callable[[str], frozenset[str]]:
    @functools.lru_cache(maxsize=64)
    def judges(name: str) -> frozenset[str]:
        try:
            return judges_of(find(name), read_graph)
        except InputError:  # it is gone; the dispatcher tells of that
            return frozenset()

    return judges
