"""Whose turn it is: one call at a time is accepted, but for those that wait for something slow.

What nobody has accepted stays in the listening socket, which is systemd's and outlives us: so that
of all the calls that come at once a killed process loses one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_here = threading.local()


class Turn:
    """One call's; readable for ``select`` when it is over."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._guard = threading.Lock()
        self._open = True

    def fileno(self) -> int:
        return self._read

    def end(self) -> None:
        with self._guard:
            if self._open:
                with suppress(BlockingIOError):
                    os.write(self._write, b".")

    def close(self) -> None:
        with self._guard:
            self._open = False
            os.close(self._read)
            os.close(self._write)


@contextmanager
def taken(turn: Turn) -> Iterator[None]:
    """This thread has the turn, until the block ends or it gives way."""
    _here.turn = turn
    try:
        yield
    finally:
        give_way()


def give_way() -> None:
    """Let the next call begin, though this one has not ended. For other threads, nothing."""
    turn: Turn | None = getattr(_here, "turn", None)
    if turn is not None:
        _here.turn = None
        turn.end()
