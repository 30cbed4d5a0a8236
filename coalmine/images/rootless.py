"""What a machine lacks to run a Dockerfile's words without root, for an error that names it.

buildah's own words for it are those of the system call that failed. Sources: user_namespaces(7),
newuidmap(1), subuid(5); which rights root itself needs was found by taking them away one by one.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "lacking", "this_machine"]

_SYS_ADMIN = 21
_NEEDED_BY_ROOT = {"SETGID": 6, "SETUID": 7, "SETFCAP": 31}
_HELPERS = ("newuidmap", "newgidmap")
_RANGES = ("/etc/subuid", "/etc/subgid")
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What counts of the user and the machine.

    Attributes:
        uid: Who runs us.
        name: The user's name; empty where the system knows none.
        capabilities: The rights that we have, a bit each, as in capabilities(7).
        helpers: Which programs are here that give a user more than one id.
        ranges: Which files have ids for the user.
        frozen: Whether no program can have more rights than whoever starts it.
        switches: Which settings of the kernel keep users from namespaces.
    """

    uid: int
    name: str
    capabilities: int
    helpers: frozenset[str] = frozenset()
    ranges: frozenset[str] = frozenset()
    frozen: bool = False
    switches: tuple[str, ...] = ()


def lacking(machine: Machine) -> tuple[str, ...]:
    """Name what is to be mended, an imperative sentence each; empty if nothing is found. Pure."""
    return tuple(_of_root(machine) if machine.uid == 0 else _of_users(machine))


def _of_root(machine: Machine) -> Iterator[str]:
    if not machine.capabilities >> _SYS_ADMIN & 1:
        missing = [n for n, bit in _NEEDED_BY_ROOT.items() if not machine.capabilities >> bit & 1]
        if missing:
            yield f"give the container the capabilities {', '.join(missing)}"


def _of_users(machine: Machine) -> Iterator[str]:
    if not machine.name:
        yield f"give the user {machine.uid} a name in /etc/passwd"
    if missing := [name for name in _HELPERS if name not in machine.helpers]:
        yield f"install {' and '.join(missing)} (apt install uidmap)"
    if missing := [name for name in _RANGES if name not in machine.ranges]:
        user = machine.name or machine.uid
        yield f"give it ids of its own in {' and '.join(missing)}, such as: {user}:100000:65536"
    if machine.frozen:
        yield "let programs gain rights (allowPrivilegeEscalation, or no_new_privs, is in the way)"
    for setting in machine.switches:
        yield f"let users make namespaces: {setting} forbids it"


def this_machine() -> Machine:
    """Look at the user that runs us, and the machine."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    status = _status(Path("/proc/self/status"))
    return Machine(
        uid,
        name,
        int(status.get("CapEff", "0"), 16),
        frozenset(filter(shutil.which, _HELPERS)),
        frozenset(file for file in _RANGES if _has_range(Path(file), {name, str(uid)})),
        status.get("NoNewPrivs") == "1",
        tuple(file for file, forbids in _SWITCHES if _text(Path(file)).strip() == forbids),
    )


def _status(file: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in _text(file).splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _has_range(file: Path, users: set[str]) -> bool:
    lines = (line.split(":") for line in _text(file).splitlines())
    return any(line[0] in users for line in lines)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
