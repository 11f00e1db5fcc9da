"""Browsers for the tests of accounts: each its own cookies, on one world's server."""

from __future__ import annotations

from typing import Any

import httpx2
from fastapi import FastAPI

from tests.server.world import World

PASSWORD = "a long enough password"


class Browser:
    """A window on the server, or on another one (``app``); it keeps the cookie that it is given."""

    def __init__(self, world: World, address: str = "10.0.0.9", app: FastAPI | None = None) -> None:
        self.world = world
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(
                app or world.app, raise_app_exceptions=False, client=(address, 1)
            ),
            base_url="http://mooring.test/api/v1/",
        )

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return await self.http.request(method, path, **more)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def log_in(self, name: str, password: str = PASSWORD) -> httpx2.Response:
        return await self.http.post("session", json={"name": name, "password": password})

    async def is_in(self) -> bool:
        return (await self.http.get("session")).status_code == 200


async def invite(world: World, name: str, role: str, *, by: str = "owner") -> Any:
    answer = await world.ask("POST", "users", by=by, json={"name": name, "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def user(world: World, name: str, role: str) -> tuple[Browser, Any]:
    """Somebody who was invited, chose a password, and is in; and what the server says of it."""
    invited = await invite(world, name, role)
    browser = Browser(world)
    answer = await browser.ask(
        "POST", "invitation", json={"token": invited["invitation"], "password": PASSWORD}
    )
    assert answer.status_code == 201, answer.text
    return browser, answer.json()["user"]
