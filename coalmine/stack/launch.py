"""Become one supervised program: ``python -m coalmine.stack.launch SPEC``.

Before it does, it ends what an earlier life of the same program left behind (which would still
hold its port), and asks the kernel to end the program together with its supervisor.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from coalmine.stack.sweep import PROGRAM_MARK, STACK_MARK, sweep

__all__ = ["dies_with_parent", "main"]


def main() -> NoReturn:
    """Read the spec that the supervisor names and run it in place of this process."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    name = spec["name"]
    sweep(Path(os.environ[STACK_MARK]), name, patience=1.0)
    command = [*dies_with_parent("KILL"), *spec["argv"]]
    environ = {**os.environ, **spec["environment"], PROGRAM_MARK: name}
    os.execvpe(command[0], command, environ)  # noqa: S606 - no shell is meant


def dies_with_parent(signal: str) -> list[str]:
    """Give the words before a command that tie its life to its parent's, where that can be done.

    The kernel watches the thread that started the process, so start it from one that stays.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal, "--"] if setpriv else []


if __name__ == "__main__":
    main()
