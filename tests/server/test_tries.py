"""Who guesses is stopped: by all server processes together, after a restart too, and without
keeping out whose password it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from mooring.server import tries
from mooring.server.app import create_app
from mooring.server.auth import Passwords
from mooring.server.db import tables
from mooring.server.db import tries as counts
from mooring.server.db.engine import Database
from mooring.server.settings import Settings
from mooring.server.state import State
from mooring.server.upkeep import forget_old
from tests.server.accounts import PASSWORD, Browser, user
from tests.server.world import World, any_database

TOO_MANY = "too many tries: wait a minute"
LOCKED = "too many wrong passwords for this name: wait an hour, or ask an admin for a new link"
NEW = "another long password"


async def guess(world: World, address: str, name: str = "bob", app: Any = None) -> tuple[int, str]:
    browser = Browser(world, address, app)
    answer = await browser.log_in(name, "a guess")
    return answer.status_code, answer.json()["detail"]


async def lock_strangers_out(world: World, name: str = "bob") -> None:
    """Thirty wrong passwords, from everywhere."""
    for n in range(30):
        assert (await guess(world, f"198.51.100.{n}", name))[0] == 401
        world.clock.forward(7)
    assert await guess(world, "198.51.100.99", name) == (429, LOCKED)


@pytest.fixture
async def another(state: State, passwords: Passwords) -> AsyncIterator[FastAPI]:
    """A second server process on the same database: nothing else is shared."""
    database = Database(state.database.url)
    yield create_app(State(database, Settings(), passwords=passwords, clock=state.clock))
    await database.close()


async def test_two_processes_count_together(world: World, another: FastAPI) -> None:
    await user(world, "bob", "viewer")
    apps = (world.app, another) * 6
    answers = [await guess(world, "198.51.100.7", app=app) for app in apps]
    assert [status for status, _ in answers] == [401] * 10 + [429] * 2
    assert answers[-1][1] == TOO_MANY


async def test_tries_at_once_are_no_more_than_one_after_the_other(
    world: World, another: FastAPI
) -> None:
    await user(world, "bob", "viewer")
    asked = [
        guess(world, f"198.51.100.{n % 4}", app=(world.app, another)[n % 2]) for n in range(40)
    ]
    answers = await asyncio.gather(*asked)
    assert sorted(status for status, _ in answers) == [401] * 10 + [429] * 30


async def test_a_restart_forgets_nothing(world: World, passwords: Passwords) -> None:
    for _ in range(10):
        await guess(world, "198.51.100.7")
    world.state = replace(world.state, database=Database(world.state.database.url))
    world.app.state.mooring = world.state
    assert await guess(world, "198.51.100.7") == (429, TOO_MANY)
    await world.state.database.close()


async def test_after_a_minute_one_may_try_again(world: World) -> None:
    await user(world, "bob", "viewer")
    for _ in range(10):
        await guess(world, "198.51.100.7")
    world.clock.forward(59)
    assert await guess(world, "198.51.100.7") == (429, TOO_MANY)
    world.clock.forward(1)
    assert (await Browser(world, "198.51.100.7").log_in("bob")).status_code == 201


async def test_who_guesses_from_elsewhere_keeps_nobody_out_of_the_own_account(
    world: World,
) -> None:
    await user(world, "bob", "viewer")  # came in from 10.0.0.9
    await lock_strangers_out(world, "BOB")
    assert (await Browser(world, "10.0.0.9").log_in("bob")).status_code == 201
    stranger = await Browser(world, "10.0.0.77").log_in("bob")
    assert (stranger.status_code, stranger.json()["detail"]) == (429, LOCKED)
    world.clock.forward(3600)
    assert (await Browser(world, "10.0.0.77").log_in("bob")).status_code == 201
    # And now that is a place of bob's too.
    await lock_strangers_out(world)
    assert (await Browser(world, "10.0.0.77").log_in("bob")).status_code == 201


async def test_where_a_user_is_known_guesses_are_counted_too(world: World) -> None:
    await user(world, "bob", "viewer")
    for _ in range(30):
        assert (await guess(world, "10.0.0.9"))[0] == 401
        world.clock.forward(7)
    assert await guess(world, "10.0.0.9") == (429, LOCKED)
    assert (await Browser(world, "10.0.0.77").log_in("bob")).status_code == 201


async def test_a_place_is_forgotten_when_the_user_has_not_been_there_for_long(
    world: World,
) -> None:
    await user(world, "bob", "viewer")
    world.clock.forward(tries.KNOWN_SECONDS)
    await lock_strangers_out(world)
    assert (await Browser(world, "10.0.0.9").log_in("bob")).status_code == 429


async def test_of_a_user_so_many_places_are_known_and_no_more(world: World) -> None:
    _, bob = await user(world, "bob", "viewer")
    async with world.state.database.write() as connection:
        for n in range(tries.MOST_KNOWN + 5):
            await counts.know(connection, bob["id"], f"10.1.0.{n}", world.clock() + n + 1)
    kept = {row["place"] for row in await world.rows(tables.known_place)}
    assert kept == {f"10.1.0.{n}" for n in range(5, tries.MOST_KNOWN + 5)}
    await world.ask("DELETE", f"users/{bob['id']}")
    assert await world.count(tables.known_place) == 0


async def test_a_new_link_opens_what_was_locked(world: World) -> None:
    _, bob = await user(world, "bob", "viewer")
    await lock_strangers_out(world)
    again = await world.ask("POST", f"users/{bob['id']}/invitation")
    link = {"token": again.json()["invitation"], "password": NEW}
    used = await Browser(world, "10.0.0.77").ask("POST", "invitation", json=link)
    assert used.status_code == 201
    assert (await Browser(world, "10.0.0.88").log_in("bob", NEW)).status_code == 201


async def test_a_new_link_opens_what_was_locked_where_the_user_usually_is_too(
    world: World,
) -> None:
    _, bob = await user(world, "bob", "viewer")  # came in from 10.0.0.9
    for _ in range(30):
        assert (await guess(world, "10.0.0.9"))[0] == 401
        world.clock.forward(7)
    again = await world.ask("POST", f"users/{bob['id']}/invitation")
    link = {"token": again.json()["invitation"], "password": NEW}
    used = await Browser(world, "10.0.0.77").ask("POST", "invitation", json=link)
    assert used.status_code == 201
    assert (await Browser(world, "10.0.0.9").log_in("bob", NEW)).status_code == 201


async def test_who_comes_in_often_is_not_locked_out(world: World) -> None:
    await user(world, "bob", "viewer")
    for _ in range(40):
        assert (await Browser(world, "10.0.0.9").log_in("bob")).status_code == 201
        world.clock.forward(7)


async def test_a_name_that_nobody_has_is_answered_as_one_that_somebody_has(world: World) -> None:
    await user(world, "bob", "viewer")
    told = []
    for name in ("bob", "nobody"):
        heard = []
        for n in range(32):
            heard.append(await guess(world, f"198.51.100.{n}", name))
            world.clock.forward(7)
        told.append(heard)
    assert told[0] == told[1]
    assert told[0][0] == (401, "the name or the password is wrong")
    assert told[0][-1] == (429, LOCKED)


@any_database
async def test_what_is_asked_of_the_database_is_the_same_for_any_name(world: World) -> None:
    await user(world, "bob", "viewer")
    asked: list[list[str]] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        asked[-1].append(statement)

    from sqlalchemy import event

    engine = world.state.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    for n, name in enumerate(("bob", "nobody", "bob", "nobody")):
        asked.append([])
        await guess(world, f"198.51.100.{n}", name)
    event.remove(engine, "before_cursor_execute", note)
    assert asked[0] == asked[1] == asked[2] == asked[3]


async def test_an_address_that_is_stopped_uses_up_no_names_tries_and_leaves_no_trace(
    world: World,
) -> None:
    for n in range(50):
        await guess(world, "198.51.100.7", f"name{n}")
    # Ten names, a minute's and an hour's count each, and the address.
    assert await world.count(tables.login_try) == 21
    stored = str(await world.rows(tables.login_try))
    assert "name" not in stored
    assert "198.51" not in stored


async def test_one_who_has_a_whole_network_of_ipv6_is_one(world: World) -> None:
    for n in range(10):
        assert (await guess(world, f"2001:db8:1:2:{n:x}::1", f"name{n}"))[0] == 401
    assert await guess(world, "2001:db8:1:2:ffff::1", "other") == (429, TOO_MANY)
    assert (await guess(world, "2001:db8:1:3::1", "other"))[0] == 401


async def test_counts_that_are_over_are_forgotten(world: World) -> None:
    await user(world, "bob", "viewer")
    await guess(world, "198.51.100.7")
    await forget_old(world.state)
    before = await world.count(tables.login_try)
    world.clock.forward(60)
    await forget_old(world.state)
    assert 0 < await world.count(tables.login_try) < before
    world.clock.forward(3540)
    await forget_old(world.state)
    assert await world.count(tables.login_try) == 0
    assert await world.count(tables.known_place) == 1
    world.clock.forward(tries.KNOWN_SECONDS)
    await forget_old(world.state)
    assert await world.count(tables.known_place) == 0


async def test_ones_own_old_password_is_not_guessed_by_whoever_has_the_session(
    world: World,
) -> None:
    bob, _ = await user(world, "bob", "viewer")
    await lock_strangers_out(world)
    for n in range(31):
        body = {"old": "a guess", "new": NEW}
        answer = await bob.ask("POST", "session/password", json=body)
        assert answer.status_code == (403 if n < 30 else 429)
        world.clock.forward(7)
    assert answer.json()["detail"] == "too many wrong passwords: wait an hour"
    world.clock.forward(3600)
    right = {"old": PASSWORD, "new": NEW}
    assert (await bob.ask("POST", "session/password", json=right)).status_code == 204


def test_a_place_is_what_its_holder_can_not_choose() -> None:
    assert tries.place("203.0.113.9") == "203.0.113.9"
    assert tries.place("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert tries.place("fe80::1%eth0") == "fe80::/64"
    assert tries.place("") == ""
    assert len(tries.place("x" * 500)) == 64
