"""Users, roles, keys, networks and the audit, as they are arranged on the page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Window
from tests.e2e.people import accept, invitation, post, somebody
from tests.e2e.site import OWNER, PASSWORD, log_in

ONCE = "It is shown this once"


def shown_once(page: Page) -> str:
    """The link, key or command that a dialog shows; the dialog is closed, as only Done does."""
    expect(page.get_by_text(ONCE)).to_be_visible()
    for _ in range(2):
        page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    expect(page.get_by_text(ONCE)).to_be_visible()
    text: str = page.get_by_role("dialog").locator("code").inner_text()
    page.get_by_role("button", name="Done").click()
    return text


# --- users


def test_a_user_is_invited_and_chooses_a_password_by_the_link(
    browser: Browser, quiet: Window
) -> None:
    page = quiet.page
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Users").click()
    page.get_by_role("button", name="Invite a user").click()
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Role").select_option("member")
    page.get_by_role("button", name="Make the link").click()
    link = shown_once(page)
    row = page.get_by_role("row", name="bob")
    expect(row).to_contain_text("Invited")
    with Window(browser, quiet.url) as other:
        other.page.goto(link)
        expect(other.page.get_by_text("You log in as bob")).to_be_visible()
        accept(other.page, link)
        expect(row).to_contain_text("Active")
        other.page.get_by_role("button", name="Account of bob").click()
        expect(other.page.get_by_role("menu").get_by_text("member")).to_be_visible()
        other.forgive("status of 403")
        other.page.goto(link)
        other.page.get_by_label("Password", exact=True).fill(PASSWORD)
        other.page.get_by_role("button", name="Log in").click()
        expect(other.page.get_by_role("alert")).to_contain_text("this link was used")


def test_the_last_owner_is_told_why_it_stays(quiet: Window) -> None:
    page = quiet.page
    quiet.forgive("status of 409")
    page.goto("/users")
    page.get_by_role("table").get_by_role("link", name=OWNER).click()
    page.get_by_role("button", name="Edit…").click()
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Save").click()
    told = page.get_by_role("dialog").get_by_role("alert")
    expect(told).to_contain_text(f"{OWNER} is the only owner who can log in")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(told).to_contain_text("make somebody else an owner first")


def test_who_is_disabled_is_on_the_log_in_page_at_once(browser: Browser, quiet: Window) -> None:
    page = quiet.page
    with somebody(browser, quiet, "bob", "member") as bob:
        page.goto("/users")
        page.get_by_role("link", name="bob").click()
        page.get_by_role("button", name="Edit…").click()
        page.get_by_label("Disabled").check()
        page.get_by_role("button", name="Save").click()
        expect(bob.page.get_by_role("heading", name="Log in")).to_be_visible()
        bob.forgive("status of 403")
        bob.page.get_by_label("Name").fill("bob")
        bob.page.get_by_label("Password").fill(PASSWORD)
        bob.page.get_by_role("button", name="Log in").click()
        expect(bob.page.get_by_role("alert")).to_contain_text("the account bob is disabled")


def test_a_session_that_is_ended_elsewhere_leads_to_the_log_in_page(
    browser: Browser, quiet: Window
) -> None:
    page = quiet.page
    with Window(browser, quiet.url) as other:
        other.page.goto("/")
        log_in(other.page)
        other.page.get_by_role("navigation", name="Main").wait_for()
        page.goto("/account")
        sessions = page.get_by_role("table", name="Sessions")
        expect(sessions.get_by_role("row")).to_have_count(3)
        sessions.get_by_role("button", name=re.compile("^End")).click()
        expect(sessions.get_by_role("row")).to_have_count(2)
        expect(other.page.get_by_role("heading", name="Log in")).to_be_visible()


def test_ones_own_password_is_changed_with_the_old_one(quiet: Window) -> None:
    page = quiet.page
    quiet.forgive("status of 403")
    page.goto("/")
    page.get_by_role("button", name=f"Account of {OWNER}").click()
    page.get_by_role("menuitem", name="Your account").click()
    page.get_by_label("Present password").fill("not the password")
    page.get_by_label("New password").fill("another long password")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("alert")).to_contain_text("the old password is wrong")
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("Changed. Your other sessions have ended.")).to_be_visible()
    page.get_by_role("button", name=f"Account of {OWNER}").click()
    page.get_by_role("menuitem", name="Log out").click()
    log_in(page)
    expect(page.get_by_role("alert")).to_contain_text("the name or the password is wrong")
    log_in(page, "another long password")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


# --- roles


def test_a_viewer_sees_no_button_that_changes_anything_and_is_refused_by_the_api(
    browser: Browser, own: Window
) -> None:
    own.page.goto("/hosts")
    expect(own.page.get_by_role("row").nth(1)).to_be_visible()
    host = own.api("/hosts")["items"][0]["id"]
    with somebody(browser, own, "vera", "viewer") as vera:
        page = vera.page
        verbs = re.compile(r"Add|Edit|Rename|Forget|Delete|Look now|Scan|Invite|Revoke|Cancel")
        for path in ("/agents", "/networks", "/runs", f"/hosts/{host}", "/subnets"):
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            page.wait_for_load_state("networkidle") if path == "/runs" else None
            expect(page.locator("main").get_by_role("button", name=verbs)).to_have_count(0)
        menu = page.get_by_role("navigation", name="Main")
        expect(menu.get_by_role("link", name="Keys")).to_be_visible()
        expect(menu.get_by_role("link", name=re.compile("Users|Audit|Networks"))).to_have_count(0)
        for path in ("/users", "/audit"):
            page.goto(path)
            expect(page.get_by_text("This needs the role admin")).to_be_visible()
        answer = vera.context.request.post(
            f"{vera.url}/api/v1/networks", data={"name": "annex"}, headers={"Origin": vera.url}
        )
        assert answer.status == 403
        assert answer.json()["detail"] == "this needs the role admin; vera is viewer"


def test_another_role_is_felt_without_loading_the_page_anew(
    browser: Browser, quiet: Window
) -> None:
    with somebody(browser, quiet, "bob", "viewer") as bob:
        menu = bob.page.get_by_role("navigation", name="Main")
        expect(menu.get_by_role("link", name="Keys")).to_be_visible()
        expect(menu.get_by_role("link", name="Users")).to_have_count(0)
        (who,) = (u for u in quiet.api("/users")["items"] if u["name"] == "bob")
        post(quiet, f"users/{who['id']}", {"role": "admin"}, method="PATCH")
        expect(menu.get_by_role("link", name="Users")).to_be_visible()


def test_an_admin_changes_nobody_above(browser: Browser, quiet: Window) -> None:
    with somebody(browser, quiet, "bob", "admin") as bob:
        page = bob.page
        page.goto("/users")
        page.get_by_role("table").get_by_role("link", name=OWNER).click()
        expect(page.get_by_text(f"You are an admin and cannot change {OWNER}")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("Edit|Delete|link"))).to_have_count(0)
        page.goto("/users")
        page.get_by_role("button", name="Invite a user").click()
        roles: list[Any] = page.get_by_label("Role").locator("option").all_inner_texts()
        assert roles == ["viewer", "member", "admin"]


# --- keys


def test_a_key_is_made_shown_once_rotated_and_revoked(quiet: Window) -> None:
    page = quiet.page
    page.goto("/keys")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_label("Name").fill("backup")
    page.get_by_label("Role").select_option("member")
    page.get_by_role("button", name="Make the key").click()
    first = shown_once(page)
    row = page.get_by_role("row", name="backup")
    expect(row).to_contain_text(f"mooring_{first.split('_')[1]}_…")
    expect(row).to_contain_text("never")
    assert first not in page.content()
    row.get_by_role("button", name="Rotate…").click()
    page.get_by_role("button", name="Rotate", exact=True).click()
    second = shown_once(page)
    expect(row).to_contain_text(f"mooring_{second.split('_')[1]}_…")
    assert [opens(quiet, key) for key in (first, second)] == [401, 200]
    row.get_by_role("button", name="Revoke…").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(row).to_contain_text("Revoked")
    assert opens(quiet, second) == 401
    row.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)


def opens(window: Window, key: str) -> int:
    """What the API answers to a key alone."""
    answer = window.context.request.get(
        f"{window.url}/api/v1/hosts", headers={"Authorization": f"Bearer {key}", "Cookie": ""}
    )
    return answer.status


def test_a_viewer_makes_keys_of_the_own_role_and_sees_no_others(
    browser: Browser, quiet: Window
) -> None:
    post(quiet, "keys", {"name": "the owner's"})
    with somebody(browser, quiet, "vera", "viewer") as vera:
        page = vera.page
        page.goto("/keys")
        expect(page.get_by_text("No key yet")).to_be_visible()
        page.get_by_role("button", name="Make a key").click()
        assert page.get_by_label("Role").locator("option").all_inner_texts() == ["viewer"]
        expect(page.get_by_label("For", exact=True)).to_have_count(0)
        page.get_by_label("Name").fill("mine")
        page.get_by_role("button", name="Make the key").click()
        assert opens(vera, shown_once(page)) == 200
        expect(page.get_by_role("row")).to_have_count(2)


# --- networks and the audit


def test_a_network_is_added_renamed_and_deleted_with_what_it_takes_along(quiet: Window) -> None:
    page = quiet.page
    page.goto("/networks")
    home = page.get_by_role("row", name="home")
    expect(home.get_by_role("button", name="Delete…")).to_be_disabled()
    page.get_by_role("button", name="Add a network").click()
    page.get_by_label("Name").fill("annex")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Rename… annex").click()
    page.get_by_label("Name", exact=True).fill("office")
    page.get_by_role("button", name="Rename", exact=True).click()
    office = page.get_by_role("row", name="office")
    expect(office).to_be_visible()
    (made,) = (n for n in quiet.api("/networks")["items"] if n["name"] == "office")
    post(quiet, "agents", {"name": "nas", "network_id": made["id"]})
    expect(page.locator("header select option")).to_have_text(["home", "office"])
    office.get_by_role("button", name="Delete…").click()
    said = page.get_by_role("dialog")
    expect(said).to_contain_text("0 hosts, 0 subnets, 1 agent with 1 key")
    said.get_by_role("button", name="Delete").click()
    expect(office).to_have_count(0)
    expect(home.get_by_role("button", name="Delete…")).to_be_disabled()
    page.goto("/audit")
    row = page.get_by_role("row").nth(1)
    expect(row).to_contain_text("Network deleted")
    expect(row).to_contain_text("with 0 hosts, 0 subnets, 1 agents, 1 keys")
    expect(row).to_contain_text(OWNER)


def test_what_another_does_is_in_the_audit_at_once(browser: Browser, quiet: Window) -> None:
    page = quiet.page
    with somebody(browser, quiet, "bob", "admin") as bob:
        page.goto("/audit")
        expect(page.get_by_role("row").nth(1)).to_contain_text("bob")
        post(bob, "networks", {"name": "annex"})
        expect(page.get_by_role("row").nth(1)).to_contain_text("Network created")
        page.get_by_role("row").nth(1).get_by_role("link", name="bob").click()
        expect(page.get_by_role("table", name="Audit")).to_contain_text("annex")


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_a_link_that_was_used_up_by_another_is_told(
    browser: Browser, quiet: Window, role: str
) -> None:
    link = invitation(quiet, "bob", role)
    with Window(browser, quiet.url) as first:
        accept(first.page, link)
    with Window(browser, quiet.url) as second:
        second.forgive("status of 403")
        second.page.goto(link)
        second.page.get_by_label("Password", exact=True).fill(PASSWORD)
        second.page.get_by_role("button", name="Log in").click()
        expect(second.page.get_by_role("alert")).to_contain_text("ask an admin for another")
