"""People on the page besides the owner: invited by the API, and in by their link."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Window
from tests.e2e.site import PASSWORD


def post(window: Window, path: str, data: Any = None, method: str = "POST") -> Any:
    """What the API answers to this window's session."""
    answer = window.context.request.fetch(
        f"{window.url}/api/v1/{path}", method=method, data=data, headers={"Origin": window.url}
    )
    assert answer.ok, answer.text()
    return answer.json() if answer.status != 204 else None


def invitation(owner: Window, name: str, role: str) -> str:
    """A new user's one-time link."""
    made = post(owner, "users", {"name": name, "role": role})
    return f"{owner.url}/invitation?token={made['invitation']}&name={name}"


def accept(page: Page, link: str) -> None:
    """Choose a password by a link, as a person does."""
    page.goto(link)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("navigation", name="Main").wait_for()


@contextmanager
def somebody(browser: Browser, owner: Window, name: str, role: str) -> Iterator[Window]:
    """A window of another user, who is in."""
    with Window(browser, owner.url) as window:
        accept(window.page, invitation(owner, name, role))
        expect(window.page).to_have_url(f"{owner.url}/")
        yield window
