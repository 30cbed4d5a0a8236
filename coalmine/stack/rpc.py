"""What the supervisor lacks, loaded into its own process (``[rpcinterface:coalmine]``).

- Change, live, whether a program is started again: else a canary that becomes the stable version
  would have to be restarted to be kept alive.
- When a program ends by itself, end what it leaves behind. BentoML's workers are in sessions of
  their own and answer on without their main process: a dead canary would look alive.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from coalmine.stack.programs import RESTARTS
from coalmine.stack.sweep import STACK_MARK, sweep

__all__ = ["make"]


class _Extension:
    def __init__(self, supervisord: Any) -> None:  # noqa: ANN401 - the library is untyped
        self._supervisord = supervisord

    def keep(self, name: str) -> bool:
        """Start a program again whenever it ends, from now on; False if there is no such one."""
        from supervisor.datatypes import RestartUnconditionally  # noqa: PLC0415

        group = self._supervisord.process_groups.get(name)
        if group is None:
            return False
        for process in group.processes.values():
            process.config.autorestart = RestartUnconditionally
            process.config.startretries = RESTARTS
        return True


def make(supervisord: Any) -> _Extension:  # noqa: ANN401
    """Make the extension; called by the supervisor as it starts."""
    from supervisor import events  # noqa: PLC0415

    for ended in (events.ProcessStateExitedEvent, events.ProcessStateBackoffEvent):
        events.subscribe(ended, _end_the_rest)
    return _Extension(supervisord)


def _end_the_rest(event: Any) -> None:  # noqa: ANN401
    # Its main process is gone: there is nobody left whom they could finish their work for.
    sweep(Path(os.environ[STACK_MARK]), event.process.config.name, patience=0)
