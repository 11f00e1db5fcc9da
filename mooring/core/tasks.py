"""Named tasks with an owner: a body that does one turn is repeated, backed off and ended here."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class Tasks:
    """The owner of a capability's tasks. Leaving it cancels them all and waits for their end."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.end()

    def start(self, name: str, body: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run ``body`` once as a task called ``owner.name``."""
        task = asyncio.create_task(body, name=f"{self.owner}.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def supervise(
        self,
        name: str,
        turn: Callable[[], Awaitable[object]],
        *,
        every: float = 0.0,
        backoff: Backoff | None = None,
        hurry: asyncio.Event | None = None,
    ) -> asyncio.Task[None]:
        """Repeat ``turn`` for ever, ``every`` seconds after its last end.

        A turn that raises is logged and repeated after a growing wait; nothing that it raises
        ends the loop, only cancelling does. Setting ``hurry`` ends a wait at once.
        """
        return self.start(name, self._repeat(name, turn, every, backoff or Backoff(), hurry))

    async def _repeat(
        self,
        name: str,
        turn: Callable[[], Awaitable[object]],
        every: float,
        backoff: Backoff,
        hurry: asyncio.Event | None,
    ) -> None:
        failures = 0
        while True:
            wait = every
            try:
                await turn()
                failures = 0
            except Exception as error:  # noqa: BLE001 - whatever a turn raises, the loop goes on
                failures += 1
                wait = max(every, backoff.delay(failures, random.random))
                _log_failure(f"{self.owner}.{name}", error, failures, wait)
            await _sleep(wait, hurry)

    async def end(self) -> None:
        """Cancel every task and wait until all have ended; what they raise then is logged."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for task, result in zip(tasks, results, strict=True):
            if isinstance(result, Exception):
                log.error("task_failed_at_end", task=task.get_name(), error=repr(result))


def _log_failure(task: str, error: Exception, failures: int, wait: float) -> None:
    fields: dict[str, Any] = {"task": task, "failures": failures, "retry_in_s": round(wait, 2)}
    if isinstance(error, MooringError):
        # Says by itself what was attempted and why it failed; where in the code is no news.
        log.warning("turn_failed", reason=str(error), **fields)
    else:
        log.error("turn_failed", exc_info=error, **fields)


async def _sleep(seconds: float, hurry: asyncio.Event | None) -> None:
    if hurry is None:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await hurry.wait()
    hurry.clear()
