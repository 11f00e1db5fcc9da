"""Who may come in, and where to: every route is walked, none is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from mooring.core.ids import new_id
from mooring.model import wire
from mooring.model.event import Authentication
from mooring.model.report import Report
from mooring.server import auth
from mooring.server.api import page
from mooring.server.db import tables
from mooring.server.roles import ROLES
from tests.server.world import Heard, World, any_database, bearer, machine

API = "/api/v1"
OPEN = {
    ("GET", f"{API}/health"),
    ("GET", f"{API}/setup"),
    ("POST", f"{API}/setup"),
    ("POST", f"{API}/session"),
    ("POST", f"{API}/invitation"),
}
"""What can be reached without logging in, besides the page's files and /metrics."""
OF_AGENTS = {
    ("POST", f"{API}/agents/poll"),
    ("POST", f"{API}/reports"),
    ("POST", f"{API}/runs/{{run_id}}/progress"),
}
OF_SESSIONS = {
    ("GET", f"{API}/session"),
    ("DELETE", f"{API}/session"),
    ("POST", f"{API}/session/password"),
}
NEEDS = {
    "member": {
        ("POST", f"{API}/schedules"),
        ("PATCH", f"{API}/schedules/{{schedule_id}}"),
        ("DELETE", f"{API}/schedules/{{schedule_id}}"),
        ("PATCH", f"{API}/hosts/{{host_id}}"),
        ("DELETE", f"{API}/hosts/{{host_id}}"),
        ("POST", f"{API}/runs"),
        ("POST", f"{API}/runs/{{run_id}}/cancel"),
    },
    "admin": {
        ("POST", f"{API}/networks"),
        ("PATCH", f"{API}/networks/{{network_id}}"),
        ("DELETE", f"{API}/networks/{{network_id}}"),
        ("POST", f"{API}/agents"),
        ("PATCH", f"{API}/agents/{{agent_id}}"),
        ("DELETE", f"{API}/agents/{{agent_id}}"),
        ("DELETE", f"{API}/remote-hosts/{{remote_host_id}}"),
        ("GET", f"{API}/keys"),
        ("POST", f"{API}/keys"),
        ("GET", f"{API}/keys/{{key_id}}"),
        ("PATCH", f"{API}/keys/{{key_id}}"),
        ("DELETE", f"{API}/keys/{{key_id}}"),
        ("POST", f"{API}/keys/{{key_id}}/rotate"),
        ("POST", f"{API}/keys/{{key_id}}/revoke"),
        ("GET", f"{API}/users"),
        ("POST", f"{API}/users"),
        ("GET", f"{API}/users/{{user_id}}"),
        ("PATCH", f"{API}/users/{{user_id}}"),
        ("DELETE", f"{API}/users/{{user_id}}"),
        ("POST", f"{API}/users/{{user_id}}/invitation"),
        ("GET", f"{API}/sessions"),
        ("DELETE", f"{API}/sessions/{{session_id}}"),
        ("GET", f"{API}/audit"),
    },
}
BODIES: dict[str, Any] = {
    f"{API}/runs": {"agent_id": "a"},
    f"{API}/schedules": {"agent_id": "a", "name": "n", "cron": "0 3 * * *"},
    f"{API}/schedules/{{schedule_id}}": {"name": "n"},
    f"{API}/schedules/preview": {"cron": "0 3 * * *"},
    f"{API}/networks": {"name": "n"},
    f"{API}/networks/{{network_id}}": {"name": "n"},
    f"{API}/keys": {"name": "k"},
    f"{API}/keys/{{key_id}}": {"name": "k"},
    f"{API}/keys/{{key_id}}/rotate": {},
    f"{API}/users": {"name": "u"},
    f"{API}/users/{{user_id}}": {"role": "member"},
    f"{API}/session/password": {"old": "o", "new": "long enough"},
    f"{API}/agents": {"name": "a", "network_id": "none"},
    f"{API}/agents/{{agent_id}}": {"name": "a"},
    f"{API}/hosts/{{host_id}}": {"name": "h"},
    f"{API}/agents/poll": {"outbox": "o", "version": "", "name": "n"},
    f"{API}/runs/{{run_id}}/progress": {"outbox": "o", "state": "running"},
}


def walk(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every route: its method and its pattern. Those without a pattern hold other routes."""

    def routes(held: Any) -> Iterator[Any]:
        for route in held:
            inner = getattr(route, "effective_route_contexts", None)
            yield from inner() if inner else [route]

    for route in routes(app.routes):
        for method in sorted(route.methods - {"HEAD"}):
            yield method, route.path


async def every_answer(world: World, by: str) -> dict[tuple[str, str], int]:
    """What each route of the API answers to somebody."""
    answers = {}
    for method, path in walk(world.app):
        if not path.startswith(API) or (method, path) == ("GET", f"{API}/events"):
            continue
        url = path.replace("{run_id}", new_id())
        for name in ("network_id", "host_id", "agent_id", "key_id", "subnet_id", "container_id"):
            url = url.replace(f"{{{name}}}", "none")
        body = BODIES.get(path) if method in ("POST", "PATCH") else None
        answer = await world.ask(method, url, by=by, json=body)
        answers[method, path] = answer.status_code
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", (method, path)
    return answers


def test_the_walk_finds_every_route_that_is_described(one_app: FastAPI) -> None:
    found = set(walk(one_app))
    described = {
        (method.upper(), path)
        for path, methods in one_app.openapi()["paths"].items()
        for method in methods
    }
    assert described <= found
    undescribed = {("GET", f"{API}/openapi.json"), ("GET", "/{path:path}")}
    assert found - described == undescribed
    assert OPEN | OF_AGENTS | OF_SESSIONS | NEEDS["member"] | NEEDS["admin"] <= found


async def test_nothing_is_reachable_without_logging_in_but_what_must_be(world: World) -> None:
    answers = await every_answer(world, "nobody")
    assert {route for route, status in answers.items() if status != 401} == OPEN
    for route in OPEN - {("GET", f"{API}/health"), ("GET", f"{API}/setup")}:
        assert answers[route] == 422
    events = await world.ask("GET", "events", by="nobody")
    assert events.status_code == 401
    assert (await world.get("health", by="nobody")).keys() == {"status", "version", "database"}
    assert await world.get("setup", by="nobody") == {"needed": True}


async def test_an_agents_key_can_report_and_nothing_else(world: World) -> None:
    answers = await every_answer(world, "agent")
    allowed = {route for route, status in answers.items() if status not in (401, 403)}
    assert allowed == OF_AGENTS | OPEN
    assert (await world.ask("GET", "events", by="agent")).status_code == 403
    assert {answers[route] for route in OF_SESSIONS} == {403}


@any_database
@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_what_it_may_and_no_more(world: World, role: str) -> None:
    answers = await every_answer(world, role)
    refused = {route for route, status in answers.items() if status == 403}
    expected = OF_AGENTS | OF_SESSIONS
    for needed, routes in NEEDS.items():
        if ROLES.index(role) < ROLES.index(needed):
            expected = expected | routes
    assert refused == expected
    assert 401 not in answers.values()


@any_database
async def test_a_refusal_says_which_role_it_takes(world: World) -> None:
    answer = await world.ask("POST", "networks", by="member", json={"name": "n"})
    assert answer.json()["detail"] == "this needs the role admin; member is member"


async def test_nobody_makes_a_key_above_the_own_role(world: World) -> None:
    for role in ("admin", "owner"):
        answer = await world.ask("POST", "keys", by="admin", json={"name": "k", "role": role})
        assert answer.status_code == (201 if role == "admin" else 403)


# --- keys


async def test_a_wrong_an_expired_and_a_revoked_key_are_told_apart(world: World) -> None:
    expired = await world.key(name="old", expires_at=world.clock() + 10)
    made = await world.ask("POST", "keys", json={"name": "lost", "role": "viewer"})
    lost, row = made.json()["key"], made.json()
    assert (await world.ask("GET", "hosts", by="nobody", headers=bearer(lost))).status_code == 200
    revoked = await world.ask("POST", f"keys/{row['id']}/revoke")
    assert revoked.json()["revoked_at"] is not None
    world.clock.forward(10)
    texts = {}
    for name, key in (("wrong", "mooring_x_y"), ("expired", expired), ("revoked", lost)):
        answer = await world.ask("GET", "hosts", by="nobody", headers=bearer(key))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        texts[name] = answer.json()["detail"]
    prefix = expired.split("_")[1]
    assert texts == {
        "wrong": "no such key: make one on the server's machine, with `mooring keys create` for a "
        "person or a program, with `mooring keys create --agent` for an agent",
        "expired": f"the key 'old' (mooring_{prefix}_…) has expired: "
        "make another with `mooring keys create`",
        "revoked": f"the key 'lost' (mooring_{row['prefix']}_…) was revoked: "
        "make another with `mooring keys create`",
    }
    again = await world.ask("POST", f"keys/{row['id']}/revoke")
    assert (again.status_code, again.json()["detail"]) == (409, "the key was revoked before")


async def test_no_key_is_stored_or_listed_only_its_hash(world: World) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k", "role": "viewer"})).json()
    listed = await world.items("keys", q="k")
    assert all("key" not in row and "hash" not in row for row in listed)
    stored = json.dumps(await world.rows(tables.key))
    assert made["key"] not in stored
    assert auth.hash_secret(made["key"]) in stored


@any_database
async def test_a_keys_use_is_noted_and_not_more_than_once_a_minute(world: World) -> None:
    made = (await world.ask("POST", "keys", json={"name": "k", "role": "owner"})).json()
    assert made["last_used_at"] is None
    world.secrets["owner"] = made["key"]
    mine = tables.key.c.id == made["id"]
    await world.items("hosts")
    at = world.clock()
    world.clock.forward(30)
    await world.items("hosts")
    (row,) = await world.rows(tables.key, mine)
    assert row["last_used_at"] == at
    world.clock.forward(31)
    await world.items("hosts")
    (row,) = await world.rows(tables.key, mine)
    assert row["last_used_at"] == at + 61


SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "agent"}, "an agent's key needs a network or an agent, and a user's key has none"),
    ({"network_id": "x"}, "an agent's key needs a network or an agent, and a user's key has none"),
    ({"kind": "agent", "network_id": "x"}, "there is no network with the id 'x'"),
    ({"kind": "agent", "network_id": ""}, "there is no network with the id ''"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at is in the past"),
    ({"expires_at": "0001-01-01T00:00:00"}, "expected a time from 1970 to 2500"),
    ({"name": "   "}, "at least 1 character"),
    ({"name": "a\0b"}, "a text holds a NUL character"),
    ({"name": "x" * 101}, "at most 100 characters"),
    ({"role": "king"}, "Input should be 'viewer', 'member', 'admin' or 'owner'"),
]


@any_database
async def test_a_key_that_makes_no_sense_is_not_made(world: World) -> None:
    for draft, detail in SENSELESS:
        answer = await world.ask("POST", "keys", json={"name": "k", **draft})
        assert answer.status_code in (404, 422)
        assert detail in answer.json()["detail"]


@any_database
async def test_a_time_without_a_zone_is_utc(world: World) -> None:
    draft = {"name": "k", "expires_at": "2030-06-01T12:00:00"}
    made = await world.ask("POST", "keys", json=draft)
    assert made.json()["expires_at"] == "2030-06-01T12:00:00Z"


@any_database
async def test_an_authorization_that_is_none_is_refused(world: World) -> None:
    for header in (b"", b"Bearer", b"Bearer ", b"Basic Ym9iOmJvYg==", b"Bearer \xff\xfe", b"x y"):
        answer = await world.http.get(f"{API}/hosts", headers={"authorization": header})
        assert answer.status_code == 401


# --- the owner's account


OWNER = {"name": "Bob", "password": "correct horse battery"}


async def set_up(world: World, **changes: Any) -> Any:
    body = {**OWNER, "token": world.state.setup_token, **changes}
    return await world.ask("POST", "setup", by="nobody", json=body)


async def test_the_one_time_link_makes_the_owners_account_once(world: World) -> None:
    answer = await set_up(world, name="  Bob ")
    assert answer.status_code == 201
    assert answer.json()["user"]["name"] == "Bob"
    assert answer.json()["user"]["role"] == "owner"
    assert await world.get("setup", by="nobody") == {"needed": False}
    again = await set_up(world, name="Eve")
    assert again.status_code == 409
    assert again.json()["detail"] == "the owner's account was made already: log in with it"
    assert await world.count(tables.user) == 1
    assert OWNER["password"] not in json.dumps(await world.rows(tables.user))


async def test_a_wrong_link_makes_no_account(world: World) -> None:
    with Heard(world.state) as heard:
        answer = await set_up(world, token="x")
    assert answer.status_code == 403
    assert "each start prints a new one" in answer.json()["detail"]
    assert heard.events == [Authentication("setup", "Bob", ok=False)]
    assert await world.count(tables.user) == 0


async def test_of_two_who_open_the_link_at_once_one_is_owner(world: World) -> None:
    answers = await asyncio.gather(*(set_up(world, name=f"user{n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert await world.count(tables.user) == 1


@any_database
async def test_an_account_that_makes_no_sense_is_not_made(world: World) -> None:
    for changes in (
        {"name": "  "},
        {"name": "a\0"},
        {"password": "short"},
        {"password": "x" * 1001},
        {"token": ""},
    ):
        assert (await set_up(world, **changes)).status_code == 422, changes


async def test_a_name_that_grows_in_lower_case_can_log_in(world: World) -> None:
    name = "İ" * 100
    assert (await set_up(world, name=name)).status_code == 201
    answer = await world.ask(
        "POST", "session", by="nobody", json={"name": name, "password": OWNER["password"]}
    )
    assert answer.status_code == 201


# --- sessions


async def logged_in(world: World, **changes: Any) -> Any:
    await set_up(world)
    return await world.ask("POST", "session", by="nobody", json={**OWNER, **changes})


async def test_logging_in_takes_the_name_in_any_case(world: World) -> None:
    assert (await logged_in(world, name=" bOB ")).status_code == 201
    assert (await world.get("session", by="nobody"))["user"]["name"] == "Bob"
    assert (await world.get("hosts", by="nobody"))["items"] == []


@any_database
async def test_a_wrong_name_and_a_wrong_password_are_not_told_apart(world: World) -> None:
    answers = [await logged_in(world, name="Eve"), await logged_in(world, password="wrong")]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert {answer.json()["detail"] for answer in answers} == {"the name or the password is wrong"}


@any_database
async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(world: World) -> None:
    cookie = (await logged_in(world)).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
    world.state.settings.session_cookie_secure = True
    answer = await world.ask("POST", "session", by="nobody", json=OWNER)
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_logging_out_ends_the_session_and_not_only_the_cookie(world: World) -> None:
    await logged_in(world)
    kept = dict(world.http.cookies)
    answer = await world.ask("DELETE", "session", by="nobody")
    assert answer.status_code == 204
    assert not dict(world.http.cookies)
    world.http.cookies.update(kept)
    answer = await world.ask("GET", "hosts", by="nobody")
    assert answer.status_code == 401
    assert answer.json()["detail"] == "the session has ended: log in again"


@any_database
async def test_a_session_ends_by_itself(world: World) -> None:
    await logged_in(world)
    world.clock.forward(auth.SESSION_SECONDS)
    assert (await world.ask("GET", "hosts", by="nobody")).status_code == 401


@any_database
async def test_another_sites_page_can_do_nothing_in_ones_name(world: World) -> None:
    await logged_in(world)
    for method, path, body in (
        ("POST", "networks", {"name": "annex"}),
        ("PATCH", f"networks/{world.home}", {"name": "mine"}),
        ("DELETE", "session", None),
    ):
        for origin in ("http://evil.example", "null", "http://mooring.test:81"):
            answer = await world.ask(
                method, path, by="nobody", json=body, headers={"origin": origin}
            )
            assert answer.status_code == 403
            assert answer.json()["detail"] == (f"a page of {origin} may not do this in your name")
        own = {"origin": "http://mooring.test"}
        answer = await world.ask(method, path, by="nobody", json=body, headers=own)
        assert answer.is_success


@any_database
async def test_no_route_that_changes_anything_is_open_to_another_sites_page(world: World) -> None:
    await logged_in(world)
    for method, path in walk(world.app):
        if method == "GET" or (method, path) in OPEN:
            continue
        answer = await world.ask(
            method, path, by="nobody", json=BODIES.get(path), headers={"origin": "http://evil.test"}
        )
        assert answer.status_code == 403, (method, path)
        assert "may not do this in your name" in answer.json()["detail"], (method, path)


@any_database
async def test_a_body_that_a_form_can_send_is_not_taken(world: World) -> None:
    """A form of another site needs no leave to send text; it can't say that it is JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await world.ask(
            "POST",
            "session",
            by="nobody",
            content=json.dumps(OWNER),
            headers={"content-type": kind},
        )
        assert answer.status_code == 422


@any_database
async def test_after_ten_tries_a_minute_nobody_guesses_on(world: World) -> None:
    for _ in range(10):
        answer = await world.ask(
            "POST", "session", by="nobody", json={"name": "bob", "password": "guess"}
        )
        assert answer.status_code == 401
    answer = await world.ask("POST", "session", by="nobody", json=OWNER)
    assert answer.status_code == 429
    assert answer.json()["detail"] == "too many tries: wait a minute"
    # Nor is the set-up link tried out.
    assert (await set_up(world)).status_code == 429


# --- what is too much
@any_database
async def test_a_body_of_more_than_a_mebibyte_is_refused_before_anybody_is_asked(
    world: World,
) -> None:
    big = json.dumps({**OWNER, "more": "x" * 2**20}).encode()

    async def chunks() -> Any:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    for path in ("session", "setup", "agents/poll", "networks"):
        for content in (big, chunks()):
            answer = await world.ask(
                "POST",
                path,
                by="nobody",
                content=content,
                headers={"content-type": "application/json"},
            )
            assert answer.status_code == 413
            assert answer.json()["detail"] == "a request has at most 1048576 bytes here"


@any_database
async def test_a_report_has_a_bound_of_its_own(world: World) -> None:
    agent = await world.agent()
    report = wire.encode(Report("machine", agent.outbox, 1, 0.0, machine()))
    padded = report + b" " * (16 * 2**20 - len(report))
    assert (await agent.post("reports", content=padded)).json()["result"] == "stored"

    async def chunks(data: bytes) -> Any:
        for start in range(0, len(data), 2**20):
            yield data[start : start + 2**20]

    for content in (padded + b" ", chunks(padded + b" ")):
        answer = await agent.post("reports", content=content)
        assert answer.status_code == 413
        assert "a report has at most 16777216 bytes" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "the report is not JSON"),
        (b"what?", "the report is not JSON"),
        (b'{"version": 2}', "the report is of version 2 and this server reads version 1"),
        (b'{"version": 1}', "the report does not fit its shape"),
    ],
)
@any_database
async def test_what_is_no_report_is_refused_and_says_why(
    world: World, data: bytes, detail: str
) -> None:
    agent = await world.agent()
    answer = await agent.post("reports", content=data)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)


# --- the page
@any_database
async def test_the_pages_files_are_open_and_nothing_around_them_is(
    world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<title>Mooring</title>")
    (folder / "assets" / "app-1.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(page, "FOLDER", folder)

    async def get(path: str) -> Any:
        return await world.ask("GET", path, by="nobody")

    file = await get("/assets/app-1.js")
    assert (file.text, file.headers["cache-control"]) == ("1", page.FOR_EVER)
    for path in ("/", "/hosts/1", "/setup?token=x", "/link", "/%2e%2e/secret", "/..%2fsecret",
                 "//etc/passwd", "/" + "a" * 5000, "/assets"):  # fmt: skip
        answer = await get(path)
        assert answer.status_code == 200, path
        assert answer.text == "<title>Mooring</title>", path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    for path in ("/assets/none.js", "/api/none", "/metrics"):
        assert (await get(path)).status_code == 404, path
    assert (await get("/a%00b")).status_code == 400


@any_database
async def test_a_page_that_was_not_built_says_how_to_build_it(
    world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    answer = await world.ask("GET", "/", by="nobody")
    assert (answer.status_code, answer.text) == (
        503,
        "The page has not been built: run `make web`.\n",
    )
