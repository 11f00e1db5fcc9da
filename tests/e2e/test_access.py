"""Who may see the page: the one-time link, logging in and out."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.e2e.conftest import Window
from tests.e2e.site import OWNER, Mooring, log_in, set_up


def test_the_one_time_link_makes_the_owner_and_leads_to_the_map(
    browser: Browser, mooring: Mooring
) -> None:
    with Window(browser, mooring.url) as window:
        page = window.page
        page.goto("/hosts")
        expect(page.get_by_role("heading", name="Not set up yet")).to_be_visible()
        assert mooring.link is not None
        set_up(page, mooring.link)
        expect(page).to_have_url(f"{mooring.url}/")
        expect(page).to_have_title("Map · Mooring")
        page.get_by_role("button", name=f"Account of {OWNER}").click()
        expect(page.get_by_role("menu").get_by_text("owner")).to_be_visible()


def test_a_wrong_link_and_a_used_one_are_told_apart(browser: Browser, mooring: Mooring) -> None:
    with Window(browser, mooring.url) as window:
        page = window.page
        window.forgive("status of 403")
        page.goto("/setup?token=guessed")
        page.get_by_label("Name").fill("eve")
        page.get_by_label("Password", exact=True).fill("0123456789")
        page.get_by_role("button", name="Make the account").click()
        expect(page.get_by_role("alert")).to_contain_text("not the one that the running server")
        assert mooring.link is not None
        set_up(page, mooring.link)
        page.context.clear_cookies()
        page.goto(mooring.link)
        expect(page.get_by_role("heading", name="Already set up")).to_be_visible()
        page.get_by_role("link", name="Log in").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_short_password_is_refused_before_it_is_sent(browser: Browser, mooring: Mooring) -> None:
    with Window(browser, mooring.url) as window:
        page = window.page
        assert mooring.link is not None
        page.goto(mooring.link)
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password", exact=True).fill("short")
        page.get_by_role("button", name="Make the account").click()
        expect(page.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_role("heading", name="Make the owner's account")).to_be_visible()


def test_one_logs_out_and_in_again_where_one_was(own: Window) -> None:
    page = own.page
    page.goto("/hosts")
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    page.get_by_role("button", name=re.compile("Account of")).click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(page, "not the password")
    expect(page.get_by_role("alert")).to_contain_text("the name or the password is wrong")
    log_in(page)
    expect(page.get_by_role("heading", name="Hosts")).to_be_visible()


def test_a_session_that_ends_anywhere_leads_to_the_log_in_page(own: Window) -> None:
    page = own.page
    page.goto("/subnets")
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    page.context.clear_cookies()
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(page)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
