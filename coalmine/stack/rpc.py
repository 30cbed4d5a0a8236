"""A method that the supervisor lacks: change, live, whether a program is started again.

The supervisor loads this into its own process (``[rpcinterface:coalmine]``), which is its
documented way to be extended. Without it, a canary that becomes the stable version would have to
be restarted to be kept alive.
"""

from __future__ import annotations

from typing import Any

from coalmine.stack.programs import RESTARTS

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
    return _Extension(supervisord)
