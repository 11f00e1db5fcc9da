"""The live stream: what is told to a page, in the fewest words, after it is true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mooring.core.bus import Bus
from mooring.model.event import (
    Authentication,
    Changed,
    Entity,
    Operation,
    Resync,
    RunMoved,
    RunState,
)
from mooring.server.api import events
from mooring.server.db import tables
from tests.server.world import World, machine


def changed(thing: str, entity: Entity = Entity.HOST, network: str | None = "n") -> Changed:
    return Changed(entity, Operation.CHANGED, thing, network)


def said(messages: list[Any]) -> list[tuple[str, Any]]:
    return [(message.event, json.loads(message.data)) for message in messages]


# --- the fewest messages


def test_a_change_is_named_and_carries_nothing_else() -> None:
    assert said(events.messages([changed("h1")])) == [
        (
            "changed",
            {"entity": "host", "operation": "changed", "id": "h1", "network_id": "n"},
        )
    ]


def test_many_changes_to_one_thing_are_told_once() -> None:
    assert len(events.messages([changed("h1")] * 50 + [changed("h2")])) == 2


def test_a_hundred_things_are_named_and_of_more_only_the_kinds() -> None:
    hundred = [changed(f"h{n}") for n in range(100)]
    assert len(events.messages(hundred)) == 100
    more = [*hundred, changed("s", Entity.SUBNET), changed("k", Entity.KEY, None)]
    assert [data for _, data in said(events.messages(more))] == [
        {"entity": "host", "operation": "changed", "id": None, "network_id": "n"},
        {"entity": "subnet", "operation": "changed", "id": None, "network_id": "n"},
        {"entity": "key", "operation": "changed", "id": None, "network_id": None},
    ]


def test_whoever_missed_something_is_told_to_read_again_and_nothing_else() -> None:
    assert said(events.messages([changed("h1"), Resync(), changed("h2")])) == [("resync", {})]


def test_what_is_no_change_is_not_told() -> None:
    assert (
        events.messages([RunMoved("r", RunState.RUNNING), Authentication("login", "b", True)]) == []
    )


# --- the stream


async def welcome() -> bool:
    return True


class Page:
    """A page that reads a stream."""

    def __init__(self, bus: Bus) -> None:
        self._stream: AsyncIterator[Any] = events.stream(bus, welcome)

    async def next(self) -> tuple[str, Any]:
        async with asyncio.timeout(5):
            message = await anext(self._stream)
        return message.event, json.loads(message.data)

    async def end(self) -> None:
        async with asyncio.timeout(5):
            assert [message async for message in self._stream] == []


async def test_a_stream_begins_with_a_resync() -> None:
    page = Page(Bus())
    assert await page.next() == ("resync", {})


async def test_what_changes_within_a_moment_is_told_together() -> None:
    bus = Bus()
    page = Page(bus)
    await page.next()
    waiting = asyncio.ensure_future(page.next())  # noqa: TID251
    await asyncio.sleep(0)
    for _ in range(3):
        bus.publish([changed("h1")])
        await asyncio.sleep(0.02)
    assert (await waiting)[1]["id"] == "h1"
    bus.close()
    await page.end()


async def test_nothing_is_lost_between_two_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "GATHER", 0.005)
    bus = Bus()
    page = Page(bus)
    await page.next()
    seen = set()

    async def read() -> None:
        while len(seen) < 200:
            _, data = await page.next()
            seen.add(data["id"])

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for n in range(200):
            await asyncio.sleep(0.001)
            bus.publish([changed(f"h{n}")])


async def test_a_page_that_reads_too_slowly_is_told_to_read_everything_again() -> None:
    bus = Bus()
    page = Page(bus)
    await page.next()
    waiting = asyncio.ensure_future(page.next())  # noqa: TID251
    await asyncio.sleep(0)
    bus.publish([changed(f"h{n}") for n in range(5000)])
    assert await waiting == ("resync", {})


async def test_a_stream_ends_when_the_bus_closes_and_tells_the_last_first() -> None:
    bus = Bus()
    page = Page(bus)
    await page.next()
    bus.publish([changed("h1")])
    bus.close()
    assert (await page.next())[1]["id"] == "h1"
    await page.end()
    late = Page(bus)
    assert await late.next() == ("resync", {})
    await late.end()


async def test_a_stream_that_is_left_is_forgotten() -> None:
    bus = Bus()
    stream = events.stream(bus, welcome)
    await anext(stream)
    assert len(bus._subscriptions) == 1
    await stream.aclose()  # type: ignore[attr-defined]
    assert not bus._subscriptions


async def test_a_change_is_told_when_it_can_be_read(world: World) -> None:
    """Whoever hears of a host, interface or subnet finds it in the database."""
    found: list[bool] = []
    wanted = {Entity.HOST: tables.host, Entity.SUBNET: tables.subnet, Entity.AGENT: tables.agent}

    async def follow() -> None:
        with world.state.bus.subscribe() as news:
            async for event in news:
                if isinstance(event, Changed) and event.entity in wanted:
                    table = wanted[event.entity]
                    found.append(bool(await world.rows(table, table.c.id == event.id)))

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0)
        agent = await world.agent()
        for n in range(5):
            await agent.report(machine(f"name{n}", identity="x"))
        await asyncio.sleep(0.2)
        world.state.bus.close()
    assert len(found) > 8
    assert all(found)
