"""The event bus of one process: typed events in, filtered bounded subscriptions out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Self

from mooring.model.event import Event, Resync

Filter = Callable[[Event], bool]


def everything(event: Event) -> bool:
    return True


class Subscription:
    """One subscriber's events, in order; iterate it inside ``with``.

    It holds at most ``size`` events. When a slow reader lets it overflow, all that it holds
    collapses into one ``Resync``: nothing grows, and nothing is silently missed.
    """

    def __init__(self, bus: Bus, wanted: Filter, size: int) -> None:
        self._bus = bus
        self._wanted = wanted
        self._size = size
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._closed = False

    def __enter__(self) -> Self:
        self._bus._subscriptions.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bus._subscriptions.discard(self)

    def offer(self, event: Event) -> None:
        if not self._wanted(event):
            return
        if len(self._events) >= self._size:
            self._events.clear()
            event = Resync()
        self._events.append(event)
        self._ready.set()

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    async def next(self) -> Event | None:
        """The next event, or None when the bus is closed and all has been read."""
        while not self._events:
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()
        return self._events.popleft()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self.next()) is not None:
            yield event


class Bus:
    """Tells every subscriber what happened, after it happened. Must be used on one event loop."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    def publish(self, events: Iterable[Event]) -> None:
        for event in events:
            for subscription in self._subscriptions:
                subscription.offer(event)

    def subscribe(self, wanted: Filter = everything, size: int = 1000) -> Subscription:
        subscription = Subscription(self, wanted, size)
        if self._closed:
            subscription.close()
        return subscription

    def close(self) -> None:
        """End every subscription, now and later; what was published before can still be read."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
