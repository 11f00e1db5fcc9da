"""Keys: whose they are, what they may do, how they are rotated, revoked and forgotten."""

from __future__ import annotations

import json
from typing import Any

from mooring.server.db import tables
from tests.server.accounts import user
from tests.server.world import World, any_database, bearer


async def opens(world: World, key: str) -> bool:
    answer = await world.ask("GET", "hosts", by="nobody", headers=bearer(key))
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def test_a_user_makes_and_sees_own_keys_up_to_the_own_role(world: World) -> None:
    bob, who = await user(world, "bob", "member")
    await world.ask("POST", "keys", json={"name": "of nobody"})
    made = await bob.ask("POST", "keys", json={"name": "script", "role": "member"})
    assert made.status_code == 201
    assert (made.json()["user_id"], made.json()["user_name"]) == (who["id"], "bob")
    above = await bob.ask("POST", "keys", json={"name": "k", "role": "admin"})
    assert (above.status_code, above.json()["detail"]) == (
        403,
        "bob is member and can't make a key of role admin",
    )
    of_agents = await bob.ask(
        "POST", "keys", json={"name": "k", "kind": "agent", "network_id": world.home}
    )
    assert of_agents.status_code == 403
    listed = (await bob.get("keys"))["items"]
    assert [key["name"] for key in listed] == ["script"]
    others = await world.one("keys", q="nobody")
    for method, path in (
        ("GET", ""),
        ("POST", "/revoke"),
        ("POST", "/rotate"),
        ("DELETE", ""),
    ):
        body = {} if path == "/rotate" else None
        hidden = await bob.ask(method, f"keys/{others['id']}{path}", json=body)
        assert hidden.status_code == 404


@any_database
async def test_a_key_without_the_role_admin_makes_and_sees_no_keys(world: World) -> None:
    bob, _ = await user(world, "bob", "member")
    key = (await bob.ask("POST", "keys", json={"name": "k", "role": "member"})).json()["key"]
    for method in ("GET", "POST"):
        body = {"name": "child"} if method == "POST" else None
        answer = await world.ask(method, "keys", by="nobody", headers=bearer(key), json=body)
        assert answer.status_code == 403
        assert "needs a user who is logged in" in answer.json()["detail"]


@any_database
async def test_a_key_can_do_no_more_than_its_user_can_by_then(world: World) -> None:
    ada, who = await user(world, "ada", "admin")
    key = (await ada.ask("POST", "keys", json={"name": "k", "role": "admin"})).json()["key"]
    draft = {"name": "annex"}
    made = await world.ask("POST", "networks", by="nobody", headers=bearer(key), json=draft)
    assert made.status_code == 201
    await world.ask("PATCH", f"users/{who['id']}", json={"role": "viewer"})
    refused = await world.ask("POST", "networks", by="nobody", headers=bearer(key), json=draft)
    assert refused.json()["detail"] == "this needs the role admin; k is viewer"


@any_database
async def test_an_admin_ends_no_key_above(world: World) -> None:
    key = (await world.ask("POST", "keys", json={"name": "k", "role": "owner"})).json()
    answer = await world.ask("POST", f"keys/{key['id']}/revoke", by="admin")
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "admin is admin and can't change a key of role owner",
    )


async def test_a_key_gets_at_no_key_above_itself_though_both_are_one_users(world: World) -> None:
    olga, _ = await user(world, "olga", "owner")
    low = (await olga.ask("POST", "keys", json={"name": "low", "role": "admin"})).json()
    high = (await olga.ask("POST", "keys", json={"name": "high", "role": "owner"})).json()
    for method, path, body in (
        ("POST", "/rotate", {}),
        ("POST", "/revoke", None),
        ("PATCH", "", {"name": "k"}),
    ):
        answer = await world.ask(
            method, f"keys/{high['id']}{path}", by="nobody", headers=bearer(low["key"]), json=body
        )
        assert (answer.status_code, answer.json()["detail"]) == (
            403,
            "low is admin and can't change a key of role owner",
        )
    mine = await world.ask(
        "POST", f"keys/{low['id']}/rotate", by="nobody", headers=bearer(low["key"]), json={}
    )
    assert mine.status_code == 200
    assert (await olga.ask("POST", f"keys/{high['id']}/rotate", json={})).status_code == 200


async def test_nobody_gets_a_secret_in_the_name_of_somebody_above(world: World) -> None:
    """What is done with it would be told of the one whose key it is."""
    olga, _ = await user(world, "olga", "owner")
    bob, _ = await user(world, "bob", "member")
    ada, _ = await user(world, "ada", "admin")
    hers = (await olga.ask("POST", "keys", json={"name": "script"})).json()
    his = (await bob.ask("POST", "keys", json={"name": "script"})).json()
    refused = await ada.ask("POST", f"keys/{hers['id']}/rotate", json={})
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "ada is admin and can't make a secret for olga, who is owner",
    )
    assert (await ada.ask("POST", f"keys/{his['id']}/rotate", json={})).status_code == 200
    # Ending a key that has got about is another thing.
    assert (await ada.ask("POST", f"keys/{hers['id']}/revoke")).status_code == 200


# --- rotating


async def test_a_rotated_key_opens_with_the_new_secret_alone(world: World) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k"})).json()
    rotated = (await world.ask("POST", f"keys/{made['id']}/rotate", json={})).json()
    assert rotated["id"] == made["id"]
    assert rotated["prefix"] == rotated["key"].split("_")[1] != made["prefix"]
    assert [await opens(world, one["key"]) for one in (made, rotated)] == [False, True]
    answer = await world.ask("GET", "hosts", by="nobody", headers=bearer(made["key"]))
    assert "was rotated, and this is what it was before" in answer.json()["detail"]
    stored = json.dumps([await world.rows(tables.key), await world.rows(tables.audit)])
    assert rotated["key"] not in stored


async def test_the_old_secret_opens_for_the_time_that_was_chosen(world: World) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k"})).json()
    path = f"keys/{made['id']}/rotate"
    second = (await world.ask("POST", path, json={"grace_s": 3600})).json()
    assert second["old_until"] is not None
    world.clock.forward(3599)
    assert await opens(world, made["key"])
    assert await opens(world, second["key"])
    # Of two rotations the last one counts: the first secret is over before its time.
    third = (await world.ask("POST", path, json={"grace_s": 3600})).json()
    assert [await opens(world, one["key"]) for one in (made, second, third)] == [False, True, True]
    world.clock.forward(3600)
    assert [await opens(world, one["key"]) for one in (second, third)] == [False, True]
    for grace in (-1, 31 * 86400):
        assert (await world.ask("POST", path, json={"grace_s": grace})).status_code == 422


async def test_a_revoked_key_is_revoked_with_its_old_secret_and_rotates_no_more(
    world: World,
) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k"})).json()
    path = f"keys/{made['id']}"
    rotated = (await world.ask("POST", f"{path}/rotate", json={"grace_s": 3600})).json()
    await world.ask("POST", f"{path}/revoke")
    assert [await opens(world, one["key"]) for one in (made, rotated)] == [False, False]
    answer = await world.ask("POST", f"{path}/rotate", json={})
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "the key is revoked: make another",
    )


# --- as they are listed


@any_database
async def test_keys_are_listed_with_how_they_stand(world: World) -> None:
    def ends(seconds: float) -> dict[str, Any]:
        from datetime import UTC, datetime

        return {"expires_at": datetime.fromtimestamp(world.clock() + seconds, UTC).isoformat()}

    for name, more in (("lasting", {}), ("ending", ends(10)), ("lost", {})):
        await world.ask("POST", "keys", json={"name": name, **more})
    lost = await world.one("keys", q="lost")
    await world.ask("POST", f"keys/{lost['id']}/revoke")
    world.clock.forward(10)
    states = {key["name"]: key["state"] for key in await world.items("keys")}
    assert states["lasting"] == "valid"
    assert (states["ending"], states["lost"]) == ("expired", "revoked")
    assert (await world.one("keys", kind="user", q="lasting"))["agents"] == []


async def test_a_key_is_renamed_and_once_it_opens_nothing_deleted(world: World) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k"})).json()
    path = f"keys/{made['id']}"
    renamed = await world.ask("PATCH", path, json={"name": "backup"})
    assert renamed.json()["name"] == (await world.get(path))["name"] == "backup"
    answer = await world.ask("DELETE", path)
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "the key still opens what it is for: revoke it first",
    )
    await world.ask("POST", f"{path}/revoke")
    assert (await world.ask("DELETE", path)).status_code == 204
    assert (await world.ask("GET", path)).status_code == 404
