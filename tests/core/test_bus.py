from __future__ import annotations

import asyncio

import pytest

from mooring.core.bus import Bus
from mooring.model.event import Changed, Entity, Event, Operation, Resync, RunMoved, RunState


def changed(number: int, entity: Entity = Entity.HOST) -> Changed:
    return Changed(entity, Operation.CHANGED, str(number))


async def read_all(subscription) -> list[Event]:
    return [event async for event in subscription]


async def test_a_subscriber_gets_what_is_published_in_order():
    bus = Bus()
    with bus.subscribe() as news:
        bus.publish(changed(n) for n in range(5))
        bus.close()
        assert await read_all(news) == [changed(n) for n in range(5)]


async def test_each_subscriber_gets_what_its_filter_takes():
    bus = Bus()
    with (
        bus.subscribe(lambda e: isinstance(e, RunMoved)) as runs,
        bus.subscribe(lambda e: isinstance(e, Changed) and e.entity is Entity.HOST) as hosts,
    ):
        moved = RunMoved("r", RunState.COMPLETE)
        bus.publish([changed(1), moved, changed(2, Entity.SUBNET)])
        bus.close()
        assert await read_all(runs) == [moved]
        assert await read_all(hosts) == [changed(1)]


async def test_a_subscriber_that_waits_is_woken():
    bus = Bus()
    with bus.subscribe() as news:
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            waiting = group.create_task(news.next())
            await asyncio.sleep(0)
            bus.publish([changed(1)])
        assert waiting.result() == changed(1)


async def test_what_was_published_before_a_subscription_is_not_told():
    bus = Bus()
    bus.publish([changed(1)])
    with bus.subscribe() as news:
        bus.publish([changed(2)])
        bus.close()
        assert await read_all(news) == [changed(2)]


async def test_a_slow_reader_s_overflow_collapses_into_one_resync_and_what_came_after_it():
    bus = Bus()
    with bus.subscribe(size=10) as slow, bus.subscribe() as quick:
        bus.publish(changed(n) for n in range(14))
        bus.close()
        assert await read_all(slow) == [Resync(), *(changed(n) for n in range(11, 14))]
        assert len(await read_all(quick)) == 14


@pytest.mark.parametrize("count", [11, 100, 12_345])
async def test_however_much_overflows_no_more_than_its_size_is_held_and_one_resync(count):
    bus = Bus()
    with bus.subscribe(size=10) as slow:
        bus.publish(changed(n) for n in range(count))
        bus.close()
        events = await read_all(slow)
    assert len(events) <= 10
    assert events.count(Resync()) == 1
    assert events[0] == Resync()


async def test_after_an_overflow_was_read_events_come_again():
    bus = Bus()
    with bus.subscribe(size=2) as slow:
        bus.publish(changed(n) for n in range(3))
        assert await slow.next() == Resync()
        bus.publish([changed(9)])
        assert await slow.next() == changed(9)


async def test_closing_ends_every_subscription_after_what_was_published():
    bus = Bus()
    with bus.subscribe() as news:
        bus.publish([changed(1)])
        bus.close()
        assert await news.next() == changed(1)
        assert await news.next() is None
        assert await news.next() is None


async def test_closing_wakes_whoever_waits():
    bus = Bus()
    with bus.subscribe() as news:
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            waiting = group.create_task(news.next())
            await asyncio.sleep(0)
            bus.close()
        assert waiting.result() is None


async def test_a_subscription_made_after_the_end_ends_at_once():
    bus = Bus()
    bus.close()
    with bus.subscribe() as news:
        assert await news.next() is None


async def test_a_subscription_that_was_left_gets_nothing_more():
    bus = Bus()
    with bus.subscribe() as news:
        pass
    bus.publish([changed(1)])
    news.close()
    assert await news.next() is None
