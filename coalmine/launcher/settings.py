"""How a launcher runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from coalmine.engines.local.command import HostCommand, own_command
from coalmine.engines.local.engine import GraphReader
from coalmine.engines.protocol import Engine
from coalmine.engines.settings import EngineSettings
from coalmine.launcher.ledger import LEASE_SECONDS
from coalmine.launcher.patience import SUBMIT_SECONDS
from coalmine.launcher.sender import TELL_SECONDS

__all__ = ["OpenEngines", "Settings"]

OpenEngines = Callable[[str, str], AbstractContextManager[Mapping[str, Engine]]]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a launcher runs.

    Attributes:
        state: The state folder, absolute.
        read_graph: Reads a pipeline file.
        host: An address of this machine; beyond loopback only with ``access``.
        port: 0 for any free one.
        bindings: The bindings file; None for the default.
        pipelines: The folder of compiled pipelines; None for the package's.
        database: URL of the ledger; empty for a file in the state folder.
        access: The access file; None lets everybody in who reaches it.
        host_command: How a container's command runs here.
        environ: The environment of the tasks; this process's unless told.
        engine_names: The engines there are; the local one and those that the bindings name, unless
            given.
        engines: Where they are.
        open_engines: Makes them ready, given the launcher's own URL and token; None for those of
            the package.
        submit_for: Seconds for which a run is submitted again and again before it is given up.
        lease: Seconds after which the runs of another launcher, not seen since, are taken over.
        sinks: URLs that are told what becomes of releases; that of ``K_SINK`` comes to them.
        sinks_file: Names sinks that need more than a URL; None for no such.
        tell_for: Seconds after which what a sink does not take is put aside.
        receivers: Processes that answer HTTP.
        public_url: Under which others read releases; as they reached it, in answers, unless given.
    """

    state: Path
    read_graph: GraphReader
    host: str = "127.0.0.1"
    port: int = 0
    bindings: Path | None = None
    pipelines: Path | None = None
    database: str = ""
    access: Path | None = None
    host_command: HostCommand = own_command
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    engine_names: tuple[str, ...] = ()
    engines: EngineSettings = field(default_factory=EngineSettings)
    open_engines: OpenEngines | None = None
    submit_for: float = SUBMIT_SECONDS
    lease: float = LEASE_SECONDS
    sinks: tuple[str, ...] = ()
    sinks_file: Path | None = None
    tell_for: float = TELL_SECONDS
    receivers: int = 1
    public_url: str = ""
