"""Group commit: messages that arrive while one commit is under way share the next.

The event loop never waits for the disk; a thread does, and answers a whole group at once. It gets
to know of messages only when the loop has read all that arrived together: begun at the first of
them, commits would be many and small, and each costs the same. What arrives while another writes
is in it, too: it is made up only when it is its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from coalmine._base.errors import CoalmineError
from coalmine.launcher.admission import Admitted, ConflictError, Group

__all__ = ["GroupCommit"]

logger = logging.getLogger(__name__)

MOST_MESSAGES = 512
MOST_WAITING = 5000
"""Messages; more would wait longer for their commit than their senders wait for an answer."""

Answer = list[Admitted] | CoalmineError
Accept = Callable[[Sequence[Group]], Sequence[list[Admitted] | ConflictError]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    group: Group
    future: asyncio.Future[list[Admitted]]
    loop: asyncio.AbstractEventLoop


class GroupCommit:
    """Stores releases, many messages in one commit.

    Args:
        accept: Stores the releases of several messages durably.
        on_new: Called after new releases were stored.
        turn: Waits until this process may write, and keeps others away until the end of the block.
    """

    def __init__(
        self,
        accept: Accept,
        on_new: Callable[[], None] = lambda: None,
        turn: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._accept = accept
        self._turn = turn
        self._on_new = on_new
        self._waiting: deque[_Waiting] = deque()
        self._arrived = threading.Event()
        self._telling: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="commit", daemon=True)

    def start(self) -> None:
        """Begin to take releases."""
        self._thread.start()

    def stop(self) -> None:
        """End after what was handed in."""
        self._stopping = True
        self._arrived.set()
        if self._thread.is_alive():
            self._thread.join()

    async def put(self, group: Group) -> list[Admitted]:
        """Store the releases of one message; when this returns, they are on disk.

        Raises:
            ConflictError: One was refused for what its service does now; none was stored.
            CoalmineError: The ledger cannot be written, or too many wait; none was stored.
        """
        if len(self._waiting) >= MOST_WAITING or self._stopping:
            raise CoalmineError(
                "too many events wait to be stored", fix="send it again in a moment"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Admitted]] = loop.create_future()
        self._waiting.append(_Waiting(group, future, loop))
        if self._telling is not loop:
            self._telling = loop
            loop.call_soon(self._tell)
        return await future

    def _tell(self) -> None:
        self._telling = None
        self._arrived.set()

    def _loop(self) -> None:
        while not (self._stopping and not self._waiting):
            self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                with self._turn():
                    count = min(MOST_MESSAGES, len(self._waiting))
                    taken = [self._waiting.popleft() for _ in range(count)]
                    answers = self._commit([one.group for one in taken])
                self._settle(taken, answers)

    def _commit(self, groups: Sequence[Group]) -> Sequence[Answer]:
        try:
            answers = self._accept(groups)
        except CoalmineError as error:
            return [error] * len(groups)
        except Exception as error:
            logger.exception("a commit of %s messages broke", len(groups))
            if len(groups) == 1:
                return [CoalmineError(f"the release could not be stored: {error!r}")]
            # One message that breaks must not take the others with it.
            return [answer for group in groups for answer in self._commit([group])]
        if any(one.new for answer in answers if isinstance(answer, list) for one in answer):
            self._on_new()
        return answers

    def _settle(self, waiting: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
        pairs = list(zip(waiting, answers, strict=True))
        for loop in {one.loop for one in waiting}:
            loop.call_soon_threadsafe(_answer, [pair for pair in pairs if pair[0].loop is loop])


def _answer(pairs: Sequence[tuple[_Waiting, Answer]]) -> None:
    for waiting, answer in pairs:
        if waiting.future.done():  # its client went away
            continue
        if isinstance(answer, CoalmineError):
            waiting.future.set_exception(answer)
        else:
            waiting.future.set_result(answer)
