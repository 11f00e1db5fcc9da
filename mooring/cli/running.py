"""Runs something until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

END = 1.9
"""Seconds from the signal to the end. What hangs in a thread (a name server that does not answer)
can't be cancelled; everything on disk is whole at any moment, so nothing is lost by not waiting."""


def run_until_signal(main: Coroutine[Any, Any, None], end: float = END) -> None:
    """Run ``main`` to its end, or until SIGTERM or Ctrl-C cancels it; then for ``end`` seconds."""
    asyncio.run(_guarded(main, end))


def settle() -> None:
    """Take what is loaded by now out of the garbage collector's rounds.

    With the web framework and the database's library loaded, one full round holds the event
    loop for 40 ms; what they are made of lives as long as the process anyway. Of all that the
    imports made some hundred objects are garbage: not worth the round that would free them.
    """
    gc.freeze()


async def _guarded(main: Coroutine[Any, Any, None], end: float) -> None:
    task = asyncio.current_task()
    assert task is not None
    stopping = False

    def stop(name: str) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            task.cancel()
            log.info("stopping", signal=name)

    def begin_to_end(number: int, frame: object) -> None:
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, end)

    def end_now(number: int, frame: object) -> None:
        # It says nothing: what is stuck may be the writing of the log.
        os._exit(0)

    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGALRM, end_now)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)
        # Called also in the middle of a write that is stuck, when the loop can't be.
        signal.signal(number, begin_to_end)
    try:
        await main
    except asyncio.CancelledError:
        if not stopping:
            raise
