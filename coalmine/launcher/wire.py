"""What the main process and a receiver beside it say to one another.

Each receiver has two sockets of its own to the main process, made anew each time that it begins, so
that nothing that was cut off when it was killed is read by the next. Over ``orders`` go single
bytes, which are never in the way of one another; over ``questions`` goes what may take long. An end
of ``orders`` is an order, too: the main process is gone, or wants the receiver to be.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection

from coalmine._base.errors import CoalmineError
from coalmine.launcher.stream import Writing

__all__ = ["Begin", "FarLogs", "Home", "Wire", "serve_wire"]

logger = logging.getLogger(__name__)

WAKE, ASK, READY, NOT_READY, AGAIN = b"w", b"?", b"1", b"0", b"r"
READY_SECONDS = 2.0
"""How long a receiver waits to hear whether releases are run; then it takes them not to be."""


@dataclass(frozen=True, slots=True)
class Begin:
    """What a receiver needs to know that was not known when it was made.

    Attributes:
        host: The address that the main process listens on.
        port: Its port.
        reached_at: The base URL of the launcher.
    """

    host: str
    port: int
    reached_at: str


@dataclass(frozen=True, slots=True)
class Home:
    """What a receiver may ask of the main process.

    Attributes:
        wake: Told that there is something new in the ledger.
        ready: Tells whether releases are run.
        engines: By their words, where steps write.
    """

    wake: Callable[[], None]
    ready: Callable[[], bool]
    engines: Mapping[str, Writing]


class Wire:
    """A receiver's end.

    Args:
        orders: The socket for single bytes.
        questions: The socket for what may take long.
    """

    def __init__(self, orders: socket.socket, questions: socket.socket) -> None:
        self._orders = orders
        self._questions = Connection(questions.detach())
        self._asking = threading.Lock()
        self._one = threading.Lock()
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def follow(self, again: Callable[[], None], end: Callable[[], None]) -> None:
        """Do what is ordered, from a thread, until the end.

        Args:
            again: Reads what was read from files again.
            end: Called once, when the main process is gone or wants this one to be.
        """
        threading.Thread(target=self._listen, args=(again, end), name="orders", daemon=True).start()

    def _listen(self, again: Callable[[], None], end: Callable[[], None]) -> None:
        for word in _words(self._orders):
            if word == AGAIN:
                again()
            else:
                self._answers.put(word)
        end()

    def wake(self) -> None:
        """Tell that there is something new in the ledger; a main process that is gone is not."""
        with contextlib.suppress(OSError):
            self._orders.send(WAKE)

    def ready(self) -> bool:
        """Ask whether releases are run."""
        with self._one, contextlib.suppress(OSError, queue.Empty):
            while not self._answers.empty():  # of one that came too late
                self._answers.get()
            self._orders.send(ASK)
            return self._answers.get(timeout=READY_SECONDS) == READY
        return False

    def logs(self, engine: str, run_id: str, task: str, start: int) -> bytes:
        """Ask for what a task has written; see `coalmine.engines.protocol.Engine`.

        Raises:
            CoalmineError: It cannot be read.
        """
        with self._asking:
            try:
                self._questions.send((engine, run_id, task, start))
                answer = self._questions.recv()
            except (OSError, EOFError):
                raise CoalmineError("the launcher's main process is gone") from None
        if isinstance(answer, CoalmineError):
            raise answer
        return bytes(answer)


class FarLogs(Mapping[str, Writing]):
    """The engines as a receiver has them: what their steps write is read in the main process.

    Args:
        wire: To the main process.
        names: The engines' words.
    """

    def __init__(self, wire: Wire, names: tuple[str, ...]) -> None:
        self._engines = {name: _FarEngine(name, wire) for name in names}

    def __getitem__(self, name: str) -> Writing:
        return self._engines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._engines)

    def __len__(self) -> int:
        return len(self._engines)


@dataclass(frozen=True, slots=True)
class _FarEngine:
    name: str
    wire: Wire

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        return self.wire.logs(self.name, run_id, task, start)


def serve_wire(
    home: Home, orders: socket.socket, questions: socket.socket, gone: Callable[[], None]
) -> None:
    """Serve the main process' end of a wire, from threads, as long as its receiver lives.

    Args:
        home: What it may ask.
        orders: The socket for single bytes.
        questions: The socket for what may take long.
        gone: Called once it is gone.
    """

    def serve() -> None:
        _serve_orders(home, orders)
        gone()

    threading.Thread(target=serve, name="orders", daemon=True).start()
    asked = (home, questions)
    threading.Thread(target=_serve_questions, args=asked, name="questions", daemon=True).start()


def _serve_orders(home: Home, orders: socket.socket) -> None:
    for word in _words(orders):
        if word == WAKE:
            home.wake()
        else:
            with contextlib.suppress(OSError):
                orders.send(READY if home.ready() else NOT_READY)


def _serve_questions(home: Home, questions: socket.socket) -> None:
    with Connection(questions.detach()) as connection, contextlib.suppress(OSError, EOFError):
        while True:
            connection.send(_written(home.engines, *connection.recv()))


def _written(
    engines: Mapping[str, Writing], engine: str, run_id: str, task: str, start: int
) -> bytes | CoalmineError:
    try:
        return engines[engine].logs(run_id, task, start)
    except CoalmineError as error:
        return CoalmineError(error.message, fix=error.fix)
    except Exception as error:  # the others who ask must have their answers
        logger.exception("a log could not be read")
        return CoalmineError(f"it could not be read: {error!r}")


def _words(orders: socket.socket) -> Iterator[bytes]:
    """Give what is said, byte by byte, until the other end is closed."""
    with contextlib.suppress(OSError):
        while said := orders.recv(4096):
            # Wakes that came together are one.
            yield from (bytes([one]) for one in dict.fromkeys(said))
