"""Users: invited, changed, disabled, deleted; an owner is always left."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mooring.model.event import Changed, Entity
from mooring.server.api.session import router
from mooring.server.db import tables
from mooring.server.roles import ROLES, lower
from tests.server.accounts import PASSWORD, Browser, invite, user
from tests.server.world import Heard, World, any_database


async def test_who_was_invited_chooses_a_password_by_the_link_and_is_in(world: World) -> None:
    invited = await invite(world, "bob", "member")
    assert (invited["state"], invited["last_login_at"]) == ("invited", None)
    assert (await Browser(world).log_in("bob", "")).status_code == 422
    assert (await Browser(world).log_in("bob", PASSWORD)).status_code == 401
    browser = Browser(world)
    link = {"token": invited["invitation"], "password": PASSWORD}
    entered = await browser.ask("POST", "invitation", json=link)
    assert entered.status_code == 201
    assert (entered.json()["user"]["name"], entered.json()["user"]["state"]) == ("bob", "active")
    assert await browser.is_in()
    assert (await Browser(world).log_in("BOB")).status_code == 201
    again = await Browser(world).ask("POST", "invitation", json=link)
    assert (again.status_code, again.json()["detail"]) == (
        403,
        "this link was used, or is too old: ask an admin for another",
    )


@any_database
async def test_a_link_that_is_a_week_old_opens_nothing_and_a_new_one_does(world: World) -> None:
    invited = await invite(world, "bob", "member")
    world.clock.forward(7 * 86400)
    old = {"token": invited["invitation"], "password": PASSWORD}
    assert (await Browser(world).ask("POST", "invitation", json=old)).status_code == 403
    again = await world.ask("POST", f"users/{invited['id']}/invitation")
    new = {"token": again.json()["invitation"], "password": PASSWORD}
    assert (await Browser(world).ask("POST", "invitation", json=new)).status_code == 201


async def test_a_link_for_a_forgotten_password_ends_the_sessions_once_it_is_used(
    world: World,
) -> None:
    browser, bob = await user(world, "bob", "member")
    again = await world.ask("POST", f"users/{bob['id']}/invitation")
    assert await browser.is_in()
    link = {"token": again.json()["invitation"], "password": "another long password"}
    assert (await Browser(world).ask("POST", "invitation", json=link)).status_code == 201
    assert not await browser.is_in()
    assert (await Browser(world).log_in("bob")).status_code == 401
    assert (await Browser(world).log_in("bob", "another long password")).status_code == 201


async def test_a_link_is_used_once_though_two_open_it_at_once(world: World) -> None:
    invited = await invite(world, "bob", "member")
    link = {"token": invited["invitation"], "password": PASSWORD}
    asked = (Browser(world).ask("POST", "invitation", json=link) for _ in range(3))
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403]


async def test_no_link_and_no_password_is_stored_or_listed(world: World) -> None:
    invited = await invite(world, "bob", "member")
    stored = json.dumps([await world.rows(tables.user), await world.rows(tables.audit)])
    listed = json.dumps(await world.items("users"))
    assert invited["invitation"] not in stored + listed
    assert "hash" not in listed


async def test_two_users_are_never_called_the_same(world: World) -> None:
    await invite(world, "Bob", "member")
    answer = await world.ask("POST", "users", json={"name": "bOB"})
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "there is a user called 'Bob' already",
    )
    drafts = [{"name": name} for name in ("eve", "Eve", "EVE")]
    answers = await asyncio.gather(*(world.ask("POST", "users", json=d) for d in drafts))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


async def test_who_is_disabled_is_out_at_once_with_every_key_and_back_in_when_enabled(
    world: World,
) -> None:
    browser, bob = await user(world, "bob", "member")
    key = (await browser.ask("POST", "keys", json={"name": "k", "role": "member"})).json()["key"]
    bearer = {"authorization": f"Bearer {key}"}
    assert (await world.ask("GET", "hosts", by="nobody", headers=bearer)).status_code == 200
    answer = await world.ask("PATCH", f"users/{bob['id']}", json={"disabled": True})
    assert answer.json()["state"] == "disabled"
    assert not await browser.is_in()
    assert await world.count(tables.session) == 0
    refused = await world.ask("GET", "hosts", by="nobody", headers=bearer)
    assert refused.status_code == 401
    assert "is of bob, whose account is disabled" in refused.json()["detail"]
    refused = await Browser(world).log_in("bob")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "the account bob is disabled: ask an admin",
    )
    assert (await Browser(world).log_in("bob", "not the password")).status_code == 401
    await world.ask("PATCH", f"users/{bob['id']}", json={"disabled": False})
    assert (await Browser(world).log_in("bob")).status_code == 201
    assert (await world.ask("GET", "hosts", by="nobody", headers=bearer)).status_code == 200


async def test_who_is_deleted_goes_with_its_sessions_and_keys(world: World) -> None:
    browser, bob = await user(world, "bob", "member")
    await browser.ask("POST", "keys", json={"name": "k"})
    assert (await world.ask("DELETE", f"users/{bob['id']}", by="admin")).status_code == 204
    assert not await browser.is_in()
    mine = tables.key.c.user_id == bob["id"]
    assert await world.rows(tables.key, mine) == []
    assert await world.items("users") == []


async def test_another_role_holds_from_the_next_request_on(world: World) -> None:
    browser, bob = await user(world, "bob", "viewer")
    draft = {"name": "annex"}
    refused = await browser.ask("POST", "networks", json=draft)
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "this needs the role admin; bob is viewer",
    )
    with Heard(world.state) as heard:
        await world.ask("PATCH", f"users/{bob['id']}", json={"role": "admin"})
    assert [e.entity for e in heard.events if isinstance(e, Changed)] == [Entity.USER]
    assert (await browser.ask("POST", "networks", json=draft)).status_code == 201


async def test_a_link_does_not_rise_with_its_user(world: World) -> None:
    """Who made the link, or found it, would be above what they are."""
    for name, role in (("bob", "member"), ("eve", "admin")):
        first = await invite(world, name, "viewer", by="admin")
        raised = await world.ask("PATCH", f"users/{first['id']}", json={"role": role})
        assert raised.json()["invitation_expires_at"] is None
        link = {"token": first["invitation"], "password": PASSWORD}
        assert (await Browser(world).ask("POST", "invitation", json=link)).status_code == 403
        again = await world.ask("POST", f"users/{first['id']}/invitation")
        lowered = await world.ask("PATCH", f"users/{first['id']}", json={"role": "viewer"})
        assert lowered.json()["invitation_expires_at"] is not None
        link = {"token": again.json()["invitation"], "password": PASSWORD}
        entered = await Browser(world).ask("POST", "invitation", json=link)
        assert entered.json()["user"]["role"] == "viewer"


@any_database
async def test_a_link_of_who_was_disabled_opens_nothing_when_enabled_again(world: World) -> None:
    invited = await invite(world, "bob", "member")
    for disabled in (True, False):
        await world.ask("PATCH", f"users/{invited['id']}", json={"disabled": disabled})
    link = {"token": invited["invitation"], "password": PASSWORD}
    assert (await Browser(world).ask("POST", "invitation", json=link)).status_code == 403


# --- who may what to whom


async def test_the_last_owner_is_not_removed_demoted_or_disabled(world: World) -> None:
    browser, ada = await user(world, "ada", "owner")
    await invite(world, "not here yet", "owner")
    path = f"users/{ada['id']}"
    told = (
        "ada is the only owner who can log in: "
        "make somebody else an owner first, and let them log in"
    )
    for change in ({"role": "admin"}, {"disabled": True}):
        answer = await browser.ask("PATCH", path, json=change)
        assert (answer.status_code, answer.json()["detail"]) == (409, told)
    answer = await browser.ask("DELETE", path)
    assert (answer.status_code, answer.json()["detail"]) == (409, told)
    assert await browser.is_in()
    await user(world, "eve", "owner")
    assert (await browser.ask("PATCH", path, json={"role": "member"})).status_code == 200


async def test_of_two_owners_who_go_at_once_one_stays(world: World) -> None:
    both = [await user(world, name, "owner") for name in ("ada", "eve")]
    asked = (browser.ask("DELETE", f"users/{who['id']}") for browser, who in both)
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert len(await world.items("users")) == 1


@any_database
async def test_an_admin_makes_and_changes_nobody_above(world: World) -> None:
    _, ada = await user(world, "ada", "owner")
    path = f"users/{ada['id']}"
    asked: list[tuple[str, str, Any]] = [
        ("POST", "users", {"name": "x", "role": "owner"}),
        ("PATCH", path, {"name": "x"}),
        ("PATCH", path, {"disabled": True}),
        ("POST", f"{path}/invitation", None),
        ("DELETE", path, None),
    ]
    for method, where, body in asked:
        answer = await world.ask(method, where, by="admin", json=body)
        assert answer.status_code == 403, (method, where)
        assert "admin is admin and can't" in answer.json()["detail"]
    bob = await invite(world, "bob", "member", by="admin")
    answer = await world.ask("PATCH", f"users/{bob['id']}", by="admin", json={"role": "owner"})
    assert answer.json()["detail"] == "admin is admin and can't give the role owner"


@any_database
async def test_what_stays_as_it_is_is_no_change(world: World) -> None:
    _, bob = await user(world, "bob", "viewer")
    with Heard(world.state) as heard:
        await world.ask("PATCH", f"users/{bob['id']}", json={"role": "viewer", "disabled": False})
        await world.ask("PATCH", f"users/{bob['id']}", json={})
    assert heard.of(Changed) == []


def test_of_two_roles_the_lower_one_counts() -> None:
    assert [lower(role, "member") for role in ROLES] == ["viewer", "member", "member", "member"]


@any_database
async def test_users_are_found_and_sorted(world: World) -> None:
    for name, role in (("Cleo", "viewer"), ("ada", "owner"), ("Bob", "member")):
        await user(world, name, role)
        world.clock.forward(1)
    names = [one["name"] for one in await world.items("users")]
    assert names == ["ada", "Bob", "Cleo"]
    newest = [one["name"] for one in await world.items("users", sort="-last_login_at")]
    assert newest == ["Bob", "ada", "Cleo"]
    assert (await world.one("users", q="own"))["name"] == "ada"
    one = await world.one("users", q="cleo")
    assert await world.get(f"users/{one['id']}") == one


@pytest.mark.parametrize("path", ["setup", "invitation", "session", "session/password"])
def test_whatever_takes_a_password_is_known(path: str) -> None:
    """These are the ways by which passwords come in; each is slowed down."""
    posts = {route.path for route in router.routes if "POST" in getattr(route, "methods", ())}
    assert f"/{path}" in posts
    assert len(posts) == 4
