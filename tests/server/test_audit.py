"""The audit: who changed what, from where, kept with the change itself."""

from __future__ import annotations

import json
from typing import Any

from mooring.server.upkeep import DAY, forget_old
from tests.server.accounts import PASSWORD, Browser, user
from tests.server.world import World, any_database, bearer, machine


async def deeds(world: World, **params: Any) -> list[tuple[str, str, str, str]]:
    """What the audit says, the first deed first."""
    found = await world.items("audit", sort="at", **params)
    return [(e["who_name"], e["entity"], e["action"], e["title"]) for e in found]


async def test_what_a_user_does_is_told_with_its_name_and_address(world: World) -> None:
    ada, who = await user(world, "ada", "admin")
    await ada.ask("POST", "networks", json={"name": "annex"})
    entry = (await world.items("audit"))[0]
    assert {name: entry[name] for name in ("who_kind", "who_id", "user_id", "address")} == {
        "who_kind": "user",
        "who_id": who["id"],
        "user_id": who["id"],
        "address": "10.0.0.9",
    }
    assert (entry["entity"], entry["action"], entry["title"]) == ("network", "created", "annex")
    assert await deeds(world, user_id=who["id"]) == [
        ("ada", "user", "password set", "ada"),
        ("ada", "network", "created", "annex"),
    ]


async def test_each_change_that_a_person_makes_is_in_the_audit(world: World) -> None:
    agent = await world.agent()
    await agent.poll()
    await agent.report(machine())
    host = (await world.one("hosts"))["id"]
    row = await world.one("agents")
    asked = {"agent_id": row["id"]}
    run = (await world.ask("POST", "runs", json=asked)).json()["id"]
    key = (await world.ask("POST", "keys", json={"name": "k"})).json()["id"]
    bob, who = await user(world, "bob", "member")
    await bob.ask("POST", "session/password", json={"old": PASSWORD, "new": PASSWORD + "!"})
    await bob.ask("DELETE", "session")
    await Browser(world).log_in("bob", PASSWORD + "!")
    steps: list[tuple[str, str, Any]] = [
        ("POST", f"runs/{run}/cancel", None),
        ("PATCH", f"hosts/{host}", {"name": "front door"}),
        ("DELETE", f"hosts/{host}", None),
        ("PATCH", f"agents/{row['id']}", {"name": "attic"}),
        ("DELETE", f"agents/{row['id']}", None),
        ("POST", f"keys/{key}/rotate", {}),
        ("PATCH", f"keys/{key}", {"name": "l"}),
        ("POST", f"keys/{key}/revoke", None),
        ("DELETE", f"keys/{key}", None),
        ("PATCH", f"users/{who['id']}", {"role": "viewer"}),
        ("POST", f"users/{who['id']}/invitation", None),
        ("DELETE", f"users/{who['id']}", None),
    ]
    for method, path, body in steps:
        answer = await world.ask(method, path, json=body)
        assert answer.status_code < 300, (method, path, answer.text)
    assert await deeds(world) == [
        ("owner", "run", "asked for", "Look of alpha asked by owner"),
        ("owner", "key", "created", "k"),
        ("owner", "user", "created", "bob"),
        ("bob", "user", "password set", "bob"),
        ("bob", "user", "password changed", "bob"),
        ("bob", "session", "logged out", "bob"),
        ("bob", "session", "logged in", "bob"),
        ("owner", "run", "cancelled", "Look of alpha cancelled"),
        ("owner", "host", "renamed", "front door"),
        ("owner", "host", "deleted", "front door"),
        ("owner", "agent", "changed", "attic"),
        ("owner", "agent", "deleted", "attic"),
        ("owner", "key", "rotated", "k"),
        ("owner", "key", "renamed", "k"),
        ("owner", "key", "revoked", "l"),
        ("owner", "key", "deleted", "l"),
        ("owner", "user", "changed", "bob"),
        ("owner", "user", "invited", "bob"),
        ("owner", "user", "deleted", "bob"),
    ]


@any_database
async def test_what_is_done_with_a_key_is_told_of_the_key_and_its_user(world: World) -> None:
    ada, who = await user(world, "ada", "admin")
    key = (await ada.ask("POST", "keys", json={"name": "script", "role": "admin"})).json()["key"]
    await world.ask("POST", "networks", by="nobody", headers=bearer(key), json={"name": "annex"})
    entry = (await world.items("audit"))[0]
    assert (entry["who_kind"], entry["who_name"], entry["user_id"]) == (
        "key",
        "script (a key of ada)",
        who["id"],
    )


@any_database
async def test_what_was_refused_or_failed_is_no_deed(world: World) -> None:
    bob, _ = await user(world, "bob", "viewer")
    before = await deeds(world)
    await bob.ask("POST", "networks", json={"name": "annex"})
    await world.ask("DELETE", f"networks/{world.home}")
    await world.ask("PATCH", "hosts/none", json={"name": "x"})
    await Browser(world).log_in("bob", "not the password")
    assert await deeds(world) == before


@any_database
async def test_no_secret_is_in_the_audit(world: World) -> None:
    ada, _ = await user(world, "ada", "admin")
    secrets = [PASSWORD]
    made = (await ada.ask("POST", "keys", json={"name": "k"})).json()
    secrets.append(made["key"])
    rotated = await ada.ask("POST", f"keys/{made['id']}/rotate", json={})
    secrets.append(rotated.json()["key"])
    draft = {"name": "nas", "network_id": world.home}
    secrets.append((await ada.ask("POST", "agents", json=draft)).json()["key"]["key"])
    said = json.dumps(await world.items("audit"))
    assert not [secret for secret in secrets if secret in said]


@any_database
async def test_the_audit_outlives_what_it_tells_of_and_is_forgotten_in_time(world: World) -> None:
    _, who = await user(world, "bob", "viewer")
    await world.ask("DELETE", f"users/{who['id']}")
    assert len(await deeds(world, entity_id=who["id"])) == 3
    world.clock.forward(world.state.settings.keep_days * DAY + 1)
    await forget_old(world.state)
    assert await deeds(world) == []
