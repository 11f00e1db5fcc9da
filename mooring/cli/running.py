"""Runs something until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
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
    loop for 40 ms; what they are made of lives as long as the process anyway.
    """
    gc.collect()
    gc.freeze()


async def _guarded(main: Coroutine[Any, Any, None], end: float) -> None:
    task = asyncio.current_task()
    assert task is not None
    stopping = False

    def stop(name: str) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            last = threading.Timer(end, _end_now, [end])
            last.daemon = True
            last.start()
            task.cancel()
            log.info("stopping", signal=name)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)
    try:
        await main
    except asyncio.CancelledError:
        if not stopping:
            raise


def _end_now(after: float) -> None:
    log.warning("ended_without_waiting", after_s=after)
    os._exit(0)
