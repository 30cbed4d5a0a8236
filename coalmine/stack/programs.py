"""What the supervisor is told of a program: pure text, from one frozen description."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["Program", "ini_of", "main_ini", "spec_of"]

RESTARTS = 1000
"""How often in a row a kept program is started again, a little later each time."""


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised process.

    Attributes:
        name: Letters, digits, ``-``, ``_``; the name of its log, too.
        argv: The command.
        environment: What it gets on top of the supervisor's own environment.
        keep: Start it again whenever it ends.
        priority: Lower starts first and stops last.
        stop_seconds: How long it may take to stop before it is killed.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    keep: bool = True
    priority: int = 500
    stop_seconds: int = 10


def spec_of(program: Program) -> str:
    """Write what `coalmine.stack.launch` reads.

    Command and environment go this way and not by the supervisor's own file, which expands ``%``,
    cuts at `` ;`` and has no way to write both kinds of quotes in one value.
    """
    fields = asdict(program)
    kept = {key: fields[key] for key in ("name", "argv", "environment")}
    return json.dumps(kept, indent=2, sort_keys=True) + "\n"


def ini_of(program: Program) -> str:
    """Write a program's section for the supervisor; paths are relative to its working folder."""
    command = shlex.join([sys.executable, "-m", "coalmine.stack.launch"])
    values = {
        "command": f"{escaped(command)} programs/{program.name}.json",
        "priority": program.priority,
        "autostart": "true",
        "autorestart": str(program.keep).lower(),
        "startsecs": 1 if program.keep else 0,
        "startretries": RESTARTS if program.keep else 0,
        "stopwaitsecs": program.stop_seconds,
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"../logs/{program.name}.log",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 1,
    }
    return _section(f"program:{program.name}", values)


def main_ini(socket: str) -> str:
    """Write the supervisor's own configuration."""
    sections = {
        "supervisord": {"pidfile": "supervisord.pid", "logfile": "supervisord.log"},
        "unix_http_server": {"file": escaped(socket), "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "rpcinterface:coalmine": {"supervisor.rpcinterface_factory": "coalmine.stack.rpc:make"},
        "include": {"files": "conf.d/*.ini"},
    }
    return "\n".join(_section(name, values) for name, values in sections.items())


def escaped(value: str) -> str:
    """Keep the supervisor from expanding a value."""
    return value.replace("%", "%%")


def _section(name: str, values: Mapping[str, object]) -> str:
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in values.items())]) + "\n"
