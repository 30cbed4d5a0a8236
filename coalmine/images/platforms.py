"""Which machines an image is for, in OCI's words. Pure, but for the machine we are on."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from coalmine._base.errors import InputError

__all__ = ["Platform", "own_platform", "parse_platforms"]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_WHEELS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """Linux on one kind of processor.

    Attributes:
        architecture: ``amd64`` or ``arm64``.
    """

    architecture: str

    @property
    def wheels(self) -> str:
        """Whose wheels run there, as uv names platforms; glibc 2.28 is that of Debian 10."""
        return _WHEELS[self.architecture]

    def __str__(self) -> str:
        return f"linux/{self.architecture}"


def own_platform() -> Platform:
    """Give the platform of this machine."""
    machine = platform.machine()
    return Platform(_ARCHITECTURES.get(machine, machine))


def parse_platforms(text: str) -> tuple[Platform, ...]:
    """Read platforms with commas between; empty means this machine's.

    Raises:
        InputError: One is not known, or comes twice.
    """
    if not text:
        return (own_platform(),)
    names = [name.strip() for name in text.split(",")]
    known = {f"linux/{architecture}": Platform(architecture) for architecture in _WHEELS}
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        raise InputError(
            f"{unknown[0]!r} is no platform" if unknown else f"{text!r} names a platform twice",
            field="platforms",
            fix=f"use {' and '.join(known)}, with a comma between",
        )
    return tuple(known[name] for name in names)
