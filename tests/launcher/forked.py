"""Processes that are launchers, forked from one that has imported everything already.

To import a launcher takes longer than most tests of it. They are processes like any other: a signal
ends one at any moment, and nothing but its files is left.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Forked", "fork"]

PRELOADED = ["tests.launcher.counting", "tests.launcher.harness", "psycopg"]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


class Forked:
    """As `subprocess.Popen` has it, as far as it is needed."""

    def __init__(
        self, module: str, words: Sequence[str], log: Path, env: Mapping[str, str]
    ) -> None:
        self._process = CONTEXT.Process(
            target=_run, args=(module, list(words), log, dict(env)), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, "it has not ended"
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def fork(module: str, words: Sequence[str], log: Path, env: Mapping[str, str]) -> Forked:
    """Run the `main` of a module with words of its own, its stderr in a file."""
    return Forked(module, words, log, env)


def _run(module: str, words: list[str], log: Path, env: dict[str, str]) -> None:
    os.setsid()
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(env)
    importlib.import_module(module).main(words)
