"""Runs something until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


def run_until_signal(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` to its end, or until SIGTERM or Ctrl-C cancels it."""
    asyncio.run(_guarded(main))


def settle() -> None:
    """Take what is loaded by now out of the garbage collector's rounds.

    With the web framework and the database's library loaded, one full round holds the event
    loop for 40 ms; what they are made of lives as long as the process anyway.
    """
    gc.collect()
    gc.freeze()


async def _guarded(main: Coroutine[Any, Any, None]) -> None:
    stopping = False
    async with asyncio.TaskGroup() as group:
        task = group.create_task(main, name="main")

        def stop(name: str) -> None:
            nonlocal stopping
            if not stopping:
                stopping = True
                log.info("stopping", signal=name)
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number.name)
