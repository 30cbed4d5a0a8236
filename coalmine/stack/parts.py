"""The core parts of a stack: which ports they have, how they are configured and described."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine._base.files import write_atomic
from coalmine.stack.envoy import bootstrap_of, envoy_program
from coalmine.stack.layout import Endpoints, Layout
from coalmine.stack.ports import HOST, choose_port, is_free
from coalmine.stack.programs import Program
from coalmine.stack.prometheus import prometheus_config, prometheus_program

__all__ = [
    "CORE",
    "LAUNCHER",
    "LauncherSettings",
    "Ports",
    "choose_ports",
    "configure",
    "endpoints_of",
]

LAUNCHER = "launcher"
CORE = ("prometheus", "envoy", LAUNCHER)


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on loopback; 0 means none in particular."""

    proxy: int = 0
    launcher: int = 0
    prometheus: int = 0
    proxy_admin: int = 0

    def write(self, layout: Layout) -> None:
        """Remember them."""
        write_atomic(_ports_file(layout), json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, layout: Layout) -> Ports:
        """Give those of last time."""
        try:
            return cls(**json.loads(_ports_file(layout).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return cls()


@dataclass(frozen=True, slots=True)
class LauncherSettings:
    """What the launcher is given, and through it every step.

    Attributes:
        policy: Path of the gate's policy file; empty for the default.
        store: Where bentos come from; empty for the default.
        bindings: The bindings file; None for the default.
    """

    policy: str = ""
    store: str = ""
    bindings: Path | None = None

    def over(self, others: LauncherSettings) -> LauncherSettings:
        """Take from the others what is not set here."""
        return LauncherSettings(
            self.policy or others.policy,
            self.store or others.store,
            self.bindings or others.bindings,
        )

    def write(self, layout: Layout) -> None:
        """Remember them."""
        given = {name: str(value) for name, value in asdict(self).items() if value}
        write_atomic(_settings_file(layout), json.dumps(given, indent=2) + "\n")

    @classmethod
    def read(cls, layout: Layout) -> LauncherSettings:
        """Give those of last time."""
        try:
            given = dict(json.loads(_settings_file(layout).read_text()))
            bindings = Path(given.pop("bindings")) if "bindings" in given else None
            return cls(**given, bindings=bindings)
        except (FileNotFoundError, ValueError, TypeError):
            return cls()


def choose_ports(
    asked: Ports, remembered: Ports, *, free: Callable[[int], bool] = is_free
) -> Ports:
    """Give every part a port: the one asked for, else that of last time, else any.

    Raises:
        InputError: A port that is asked for is in use, or asked for twice.
    """
    chosen: dict[str, int] = {}
    for spec in sorted(fields(Ports), key=lambda spec: not getattr(asked, spec.name)):
        chosen[spec.name] = choose_port(
            option_of(spec.name),
            getattr(asked, spec.name),
            getattr(remembered, spec.name),
            frozenset(chosen.values()),
            free=free,
        )
    return Ports(**chosen)


def refuse_other_ports(asked: Ports, present: Ports) -> None:
    """See that a running stack listens where it is asked to.

    Raises:
        InputError: It listens elsewhere.
    """
    for spec in fields(Ports):
        wanted, has = getattr(asked, spec.name), getattr(present, spec.name)
        if wanted not in (0, has):
            raise InputError(
                f"the stack runs already, with port {has} and not {wanted}",
                field=option_of(spec.name),
                fix="stop it first: coalmine down",
            )


def option_of(part: str) -> str:
    """Name the command line option for a part's port."""
    return f"--{part.replace('_', '-')}-port"


def endpoints_of(ports: Ports) -> Endpoints:
    """Give the base URLs that belong to the ports."""
    urls = {name: f"http://{HOST}:{port}" for name, port in asdict(ports).items()}
    return Endpoints(**urls)


def configure(
    layout: Layout, ports: Ports, binary: Path, launcher: LauncherSettings | None
) -> list[Program]:
    """Write the core parts' configuration files, and describe their processes.

    Args:
        layout: The state folder.
        ports: Where they listen.
        binary: Prometheus.
        launcher: With the launcher, so set.
    """
    bootstrap = bootstrap_of(folder=layout.proxy, port=ports.proxy, admin_port=ports.proxy_admin)
    write_atomic(layout.proxy / "envoy.json", bootstrap)
    config = prometheus_config(
        port=ports.prometheus, proxy_admin_port=ports.proxy_admin, launcher_port=ports.launcher
    )
    write_atomic(layout.prometheus / "prometheus.yml", config)
    programs = [
        prometheus_program(binary, layout.prometheus, ports.prometheus, config),
        envoy_program(layout.proxy, bootstrap),
    ]
    return [*programs, launcher_program(layout, ports, launcher)] if launcher else programs


def launcher_program(layout: Layout, ports: Ports, settings: LauncherSettings) -> Program:
    """Describe the launcher's process; steps take what is in its environment as their default."""
    argv = [sys.executable, "-m", "coalmine", "launcher", "--host", HOST]
    argv += ["--port", str(ports.launcher), "--state", str(layout.state)]
    mark = ""
    if settings.bindings:
        argv += ["--bindings", str(settings.bindings.absolute())]
        mark = hashlib.sha256(settings.bindings.read_bytes()).hexdigest()
    environment = {
        "COALMINE_STATE": str(layout.state),
        "COALMINE_PROMETHEUS_URL": endpoints_of(ports).prometheus,
        "COALMINE_POLICY": settings.policy,
        "COALMINE_STORE": settings.store,
        "COALMINE_BINDINGS_DIGEST": mark,
    }
    given = {name: value for name, value in environment.items() if value}
    return Program(LAUNCHER, tuple(argv), given, priority=400, stop_seconds=20)


def _settings_file(layout: Layout) -> Path:
    return layout.supervisor / "launcher.json"


def _ports_file(layout: Layout) -> Path:
    return layout.supervisor / "ports.json"
