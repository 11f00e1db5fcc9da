"""``mooring keys`` and ``mooring users``: accounts arranged on the server's machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.server.process import mooring, running
from tests.server.world import bearer

pytestmark = pytest.mark.slow

PASSWORD = "a long enough password"


async def done(*words: str, folder: Path) -> str:
    """What a command that succeeds prints."""
    code, out, err = await mooring(*words, "--data-dir", str(folder))
    assert code == 0, err
    return out


async def refused(*words: str, folder: Path) -> str:
    """What a person reads of a command that does not succeed; it prints nothing else."""
    code, out, err = await mooring(*words, "--data-dir", str(folder))
    assert code in (1, 2)
    assert out == ""
    assert "Traceback" not in err
    return err


def is_in(http: httpx2.AsyncClient, link: str) -> Any:
    asked = parse_qs(urlsplit(link).query)
    return http.post("invitation", json={"token": asked["token"][0], "password": PASSWORD})


async def test_a_user_is_made_changed_and_let_in_again_at_the_console(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with running(folder, "server") as server:
        page = httpx2.AsyncClient(base_url=f"{server.url}/api/v1/")
        async with page as http:
            link = await done(
                "users", "create", "ada", "--role", "owner", "--page", server.url, folder=folder
            )
            assert link.startswith(f"{server.url}/invitation?token=")
            assert (await is_in(http, link)).status_code == 201
            only = await refused("users", "change", "ada", "--disable", folder=folder)
            assert "ada is the only owner who can log in" in only
            second = await done("users", "create", "bob", folder=folder)
            again = await done("users", "link", "BOB", folder=folder)
            assert (await is_in(http, second)).status_code == 403
            assert (await is_in(http, again)).status_code == 201
            await done("users", "change", "bob", "--role", "admin", folder=folder)
            assert (await http.get("session")).json()["user"]["role"] == "admin"
            # The running server was told nothing: it looks for itself.
            await done("users", "change", "bob", "--disable", folder=folder)
            assert (await http.get("session")).status_code == 401
            rows = json.loads(await done("users", "list", "--format", "json", folder=folder))
            assert [(r["name"], r["role"], r["state"]) for r in rows] == [
                ("ada", "owner", "active"),
                ("bob", "admin", "disabled"),
            ]
            assert re.search(r"bob +admin +disabled", await done("users", "list", folder=folder))
            await done("users", "remove", "bob", folder=folder)
            gone = await refused("users", "link", "bob", folder=folder)
            assert "there is no user 'bob'" in gone
            key = await done("keys", "create", "--name", "k", "--role", "admin", folder=folder)
            audit = (await http.get("audit", headers=bearer(key.strip()))).json()["items"]
            assert (audit[0]["who_kind"], audit[0]["action"]) == ("console", "created")
            assert audit[1]["action"] == "deleted"
        await server.stop()


async def test_a_key_is_rotated_at_the_console_and_the_old_secret_may_open_a_while(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    async with running(folder, "server") as server:
        async with httpx2.AsyncClient(base_url=f"{server.url}/api/v1/") as http:
            first = (await done("keys", "create", "--name", "k", folder=folder)).strip()
            prefix = first.split("_")[1]
            second = (await done("keys", "rotate", prefix, "--grace", "1", folder=folder)).strip()
            opened = [
                (await http.get("hosts", headers=bearer(k))).status_code for k in (first, second)
            ]
            assert opened == [200, 200]
            typed = f"mooring_{second.split('_')[1]}_…"
            third = (await done("keys", "rotate", typed, folder=folder)).strip()
            opened = [
                (await http.get("hosts", headers=bearer(k))).status_code
                for k in (first, second, third)
            ]
            assert opened == [401, 401, 200]
        await server.stop()
    (row,) = json.loads(await done("keys", "list", "--format", "json", folder=folder))
    assert (row["name"], row["role"], row["state"]) == ("k", "viewer", "valid")
    assert third.split("_", 2)[2] not in json.dumps(row)


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "list"),
        ("keys", "revoke", "0815"),
        ("keys", "rotate", "0815"),
        ("users", "list"),
        ("users", "create", "bob"),
    ],
    ids=" ".join,
)
async def test_a_folder_that_no_server_uses_is_told_and_stays_as_it_is(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    folder = tmp_path / "typing error"
    assert "no server has kept anything in" in await refused(*words, folder=folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("users", "create", " "), "a name has 1 to 100 characters"),
        (("users", "create", "x", "--page", "here"), "expected http://HOST:PORT"),
        (("users", "change", "x"), "nothing is to be changed"),
        (("keys", "rotate", "none"), "there is no such key"),
        (("keys", "revoke", ""), "there is no such key"),
    ],
)
async def test_what_makes_no_sense_at_the_console_is_told(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    await done("keys", "create", "--name", "k", folder=tmp_path)
    assert told in await refused(*words, folder=tmp_path)
