"""Tells any number of waiters that something is new; carries no data: they look for themselves."""

from __future__ import annotations

import asyncio


class News:
    """A counter to wait on. Whoever kept the count of its last look misses nothing."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def tell(self) -> None:
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def after(self, count: int) -> int:
        """Wait until there is news that a look at ``count`` can't have seen; answers its count."""
        while self.count <= count:
            await self._event.wait()
        return self.count
