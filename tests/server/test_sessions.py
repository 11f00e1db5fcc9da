"""Sessions: seen, ended, and with them the streams that they opened; passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from mooring.model.event import Changed, Entity, Operation
from mooring.server import auth
from mooring.server.api import events
from mooring.server.db import tables, users
from tests.server.accounts import PASSWORD, Browser, user
from tests.server.world import Heard, World, any_database, bearer

NEW = "another long password"


async def test_one_sees_where_one_is_logged_in_and_ends_it_from_elsewhere(world: World) -> None:
    here, bob = await user(world, "bob", "viewer")
    there = Browser(world, "10.0.0.77")
    world.clock.forward(60)
    await there.http.post(
        "session", json={"name": "bob", "password": PASSWORD}, headers={"user-agent": "Phone/1"}
    )
    page = await here.get("sessions")
    assert [(s["address"], s["browser"], s["current"]) for s in page["items"]] == [
        ("10.0.0.77", "Phone/1", False),
        ("10.0.0.9", page["items"][1]["browser"], True),
    ]
    assert {s["user_id"] for s in page["items"]} == {bob["id"]}
    with Heard(world.state) as heard:
        ended = await here.ask("DELETE", f"sessions/{page['items'][0]['id']}")
    assert ended.status_code == 204
    assert Changed(Entity.SESSION, Operation.DELETED, page["items"][0]["id"]) in heard.events
    assert not await there.is_in()
    assert await here.is_in()


@any_database
async def test_a_sessions_id_and_hash_open_nothing(world: World) -> None:
    _, _ = await user(world, "bob", "viewer")
    (row,) = await world.rows(tables.session)
    for secret in (row["id"], row["hash"]):
        http = Browser(world).http
        http.cookies.set("mooring_session", secret)
        assert (await http.get("session")).status_code == 401


async def test_others_sessions_are_an_admins_to_see_and_nobody_elses(world: World) -> None:
    bob, _ = await user(world, "bob", "member")
    ada, _ = await user(world, "ada", "admin")
    owner, olga = await user(world, "olga", "owner")
    assert {s["user_name"] for s in (await bob.get("sessions", user_id=olga["id"]))["items"]} == {
        "bob"
    }
    everybodys = (await ada.get("sessions"))["items"]
    assert {s["user_name"] for s in everybodys} == {"ada", "bob", "olga"}
    of = {s["user_name"]: s["id"] for s in everybodys}
    hidden = await bob.ask("DELETE", f"sessions/{of['ada']}")
    assert hidden.status_code == 404
    refused = await ada.ask("DELETE", f"sessions/{of['olga']}")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "ada is admin and can't change olga, who is owner",
    )
    assert (await ada.ask("DELETE", f"sessions/{of['bob']}")).status_code == 204
    assert [await b.is_in() for b in (bob, ada, owner)] == [False, True, True]


async def test_a_key_ends_no_session_of_its_user_who_is_above_it(world: World) -> None:
    olga, _ = await user(world, "olga", "owner")
    key = (await olga.ask("POST", "keys", json={"name": "k", "role": "admin"})).json()["key"]
    (mine,) = (await olga.get("sessions"))["items"]
    answer = await world.ask("DELETE", f"sessions/{mine['id']}", by="nobody", headers=bearer(key))
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "k is admin and can't change olga, who is owner",
    )
    assert await olga.is_in()


async def test_ones_own_new_password_takes_the_old_one_and_ends_the_other_sessions(
    world: World,
) -> None:
    here, _ = await user(world, "bob", "viewer")
    there = Browser(world)
    await there.log_in("bob")
    wrong = await here.ask("POST", "session/password", json={"old": "no", "new": NEW})
    assert (wrong.status_code, wrong.json()["detail"]) == (403, "the old password is wrong")
    short = await here.ask("POST", "session/password", json={"old": PASSWORD, "new": "short"})
    assert short.status_code == 422
    assert await there.is_in()
    done = await here.ask("POST", "session/password", json={"old": PASSWORD, "new": NEW})
    assert done.status_code == 204
    assert [await here.is_in(), await there.is_in()] == [True, False]
    assert (await Browser(world).log_in("bob")).status_code == 401
    assert (await Browser(world).log_in("bob", NEW)).status_code == 201


class Meanwhile:
    """Hashing that takes long enough for something else to happen, once."""

    def __init__(self, passwords: auth.Passwords, happens: Callable[[], Awaitable[Any]]) -> None:
        self._passwords = passwords
        self._happens: Callable[[], Awaitable[Any]] | None = happens

    async def hash(self, password: str) -> str:
        return await self._passwords.hash(password)

    async def check(self, password: str, stored: str | None) -> bool:
        fits = await self._passwords.check(password, stored)
        happens, self._happens = self._happens, None
        if happens:
            await happens()
        return fits


def while_checking(world: World, happens: Callable[[], Awaitable[Any]]) -> None:
    world.state.passwords = Meanwhile(world.state.passwords, happens)  # type: ignore[assignment]


async def test_the_old_password_opens_no_session_while_a_new_one_is_set(world: World) -> None:
    here, _ = await user(world, "bob", "viewer")
    body = {"old": PASSWORD, "new": NEW}
    while_checking(world, lambda: here.ask("POST", "session/password", json=body))
    there = Browser(world)
    refused = await there.log_in("bob")
    assert (refused.status_code, refused.json()["detail"]) == (
        401,
        "the name or the password is wrong",
    )
    assert [await here.is_in(), await there.is_in()] == [True, False]
    assert await world.count(tables.session) == 1


async def test_who_is_deleted_or_disabled_while_logging_in_is_not_in(world: World) -> None:
    for name, method, json, status in (
        ("bob", "DELETE", None, 401),
        ("eve", "PATCH", {"disabled": True}, 403),
    ):
        _, who = await user(world, name, "viewer")
        path = f"users/{who['id']}"
        while_checking(world, partial(world.ask, method, path, json=json))
        assert (await Browser(world).log_in(name)).status_code == status
        mine = tables.session.c.user_id == who["id"]
        assert await world.rows(tables.session, mine) == []


async def test_a_session_that_ends_meanwhile_sets_no_password(world: World) -> None:
    """Somebody else has it, and its user ends it from elsewhere."""
    stolen, who = await user(world, "bob", "viewer")
    again = await world.ask("POST", f"users/{who['id']}/invitation")
    link = {"token": again.json()["invitation"], "password": NEW}
    owns = Browser(world)
    while_checking(world, lambda: owns.ask("POST", "invitation", json=link))
    body = {"old": PASSWORD, "new": "the thief's password"}
    refused = await stolen.ask("POST", "session/password", json=body)
    assert (refused.status_code, refused.json()["detail"]) == (403, "the old password is wrong")
    assert await owns.is_in()
    there = Browser(world)
    await there.log_in("bob", NEW)
    (mine,) = [s for s in (await there.get("sessions"))["items"] if s["current"]]
    while_checking(world, lambda: owns.ask("DELETE", f"sessions/{mine['id']}"))
    body = {"old": NEW, "new": "the thief's password"}
    assert (await there.ask("POST", "session/password", json=body)).status_code == 401
    assert (await Browser(world).log_in("bob", NEW)).status_code == 201


async def test_a_sessions_use_is_noted_and_not_more_than_once_a_minute(world: World) -> None:
    browser, _ = await user(world, "bob", "viewer")
    began = world.clock()
    used = []
    for _ in range(3):
        world.clock.forward(31)
        await browser.get("hosts")
        (row,) = await world.rows(tables.session)
        used.append(row["last_used_at"] - began)
    assert used == [0, 62, 62]


# --- streams


class Stream:
    """A stream of somebody's, as the route makes it."""

    def __init__(self, world: World, who: auth.Principal) -> None:
        async def welcome() -> bool:
            async with world.state.database.read() as connection:
                return await auth.is_welcome(connection, who, world.clock())

        self._stream = events.stream(world.state.bus, welcome)

    async def next(self) -> Any:
        async with asyncio.timeout(10):
            return (await anext(self._stream)).event

    async def ends(self) -> bool:
        async with asyncio.timeout(10):
            async for _ in self._stream:
                pass
        return True


async def stream_of(world: World, user_id: str) -> Stream:
    (row,) = await world.rows(tables.session, tables.session.c.user_id == user_id)
    async with world.state.database.read() as connection:
        person = await users.by_id(connection, user_id)
    assert person is not None
    stream = Stream(world, auth.user_principal(person, row["id"]))
    assert await stream.next() == "resync"
    return stream


async def test_a_stream_ends_when_its_session_does_and_others_go_on(world: World) -> None:
    browser, bob = await user(world, "bob", "viewer")
    _, ada = await user(world, "ada", "viewer")
    mine, other = await stream_of(world, bob["id"]), await stream_of(world, ada["id"])
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(mine.ends())
        told = group.create_task(other.next())
        await asyncio.sleep(0)
        assert (await browser.ask("DELETE", "session")).status_code == 204
    assert ended.result()
    assert told.result() == "changed"


@any_database
async def test_a_stream_ends_when_its_user_is_disabled_or_deleted(world: World) -> None:
    for name, method, body in (("bob", "PATCH", {"disabled": True}), ("ada", "DELETE", None)):
        _, who = await user(world, name, "viewer")
        stream = await stream_of(world, who["id"])
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(stream.ends())
            await asyncio.sleep(0)
            await world.ask(method, f"users/{who['id']}", json=body)
        assert ended.result()


@any_database
async def test_a_stream_ends_with_a_session_that_ended_where_nobody_told_of_it(
    world: World, monkeypatch: Any
) -> None:
    monkeypatch.setattr(events, "CHECK", 0.05)
    _, bob = await user(world, "bob", "viewer")
    stream = await stream_of(world, bob["id"])
    async with world.state.database.write() as connection:
        await users.close_sessions(connection, bob["id"])
    assert await stream.ends()


@any_database
async def test_a_stream_of_a_key_ends_when_the_key_is_revoked(world: World) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k", "role": "viewer"})).json()
    async with world.state.database.read() as connection:
        who = await auth.key_principal(connection, made["key"], world.clock())
    stream = Stream(world, who)
    await stream.next()
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(stream.ends())
        await asyncio.sleep(0)
        await world.ask("POST", f"keys/{made['id']}/revoke")
    assert ended.result()


async def test_a_stream_of_an_old_secret_ends_when_that_does_and_not_before(world: World) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k", "role": "viewer"})).json()
    path = f"keys/{made['id']}/rotate"

    async def open_with(secret: str) -> Stream:
        async with world.state.database.read() as connection:
            who = await auth.key_principal(connection, secret, world.clock())
        stream = Stream(world, who)
        await stream.next()
        return stream

    first = await open_with(made["key"])
    async with asyncio.TaskGroup() as group:
        told = group.create_task(first.next())
        await asyncio.sleep(0)
        second = (await world.ask("POST", path, json={"grace_s": 3600})).json()
    assert told.result() == "changed"
    newer = await open_with(second["key"])
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(first.ends())
        goes_on = group.create_task(newer.next())
        await asyncio.sleep(0)
        await world.ask("POST", path, json={"grace_s": 3600})
    assert ended.result()
    assert goes_on.result() == "changed"
