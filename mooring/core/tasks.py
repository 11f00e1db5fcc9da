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

    def start(
        self, name: str, body: Coroutine[Any, Any, Result], *, awaited: bool = False
    ) -> asyncio.Task[Result]:
        """Run ``body`` once as a task called ``owner.name``.

        What it raises is logged, unless it is ``awaited``: then whoever starts it looks at how it
        ended, and knows whether that is worth a word.
        """
        task = asyncio.create_task(body, name=f"{self.owner}.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard if awaited else self._ended)
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

        A turn that raises is logged and repeated after the growing wait of ``backoff``, which
        takes the place of ``every``; nothing that it raises ends the loop, only cancelling does.
        The same failure in a row is logged less and less often: the 1st, 2nd, 4th, 8th, … time.
        Setting ``hurry`` ends a wait at once.
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
        said = ""
        while True:
            wait = every
            try:
                await turn()
                failures, said = 0, ""
            except (Exception, asyncio.CancelledError) as error:
                # Cancelled may also be what the turn waited for, and not this loop.
                if _cancelled():
                    raise
                failures += 1
                wait = backoff.delay(failures, random.random)
                known, said = said == repr(error), repr(error)
                seldom = known and failures & (failures - 1) > 0
                _log_failure(f"{self.owner}.{name}", error, failures, wait, seldom=seldom)
            if _cancelled():
                return
            await _sleep(wait, hurry)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, MooringError):
            log.error("task_failed", task=task.get_name(), reason=str(error))
        elif error is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)

    async def end(self) -> None:
        """Cancel every task and wait until all have ended; what they raise then is logged."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log_failure(
    task: str, error: BaseException, failures: int, wait: float, *, seldom: bool
) -> None:
    fields: dict[str, Any] = {"task": task, "failures": failures, "retry_in_s": round(wait, 2)}
    if seldom:
        log.debug("turn_failed", reason=str(error), **fields)
    elif isinstance(error, MooringError):
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
