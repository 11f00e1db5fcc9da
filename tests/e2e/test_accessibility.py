"""Every page, in both themes, under axe-core: no violation of WCAG 2.2 A and AA."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import buses, links
from tests.e2e.buses import Reporter
from tests.e2e.conftest import Window
from tests.e2e.links import Forwarder
from tests.e2e.people import post
from tests.e2e.site import ROOT, Mooring
from tests.parts import need

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => (await axe.run(document, {
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
})).violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target).join(' | ')}`)"""

PAGES = [
    "/",
    "/hosts",
    "/subnets",
    "/forwards",
    "/can",
    "/runs",
    "/agents",
    "/timeline",
    "host",
    "subnet",
    "run",
]


@pytest.fixture
def axe() -> str:
    if not AXE.is_file():
        need("page")
        pytest.skip(f"there is no {AXE}: cd web && npm ci")
    return AXE.read_text()


def violations(window: Window, axe: str) -> list[str]:
    # Evaluated and not added as an element: the page's policy allows no foreign script.
    window.page.evaluate(axe)
    found: list[str] = window.page.evaluate(RUN)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_violation(
    browser: Browser, shared: Mooring, signed_in: Any, axe: str, scheme: Any
) -> None:
    options = {"storage_state": signed_in, "color_scheme": scheme, "reduced_motion": "reduce"}
    with Window(browser, shared.url, **options) as window:
        page = window.page
        found: dict[str, list[str]] = {}
        for path in PAGES:
            if not path.startswith("/"):
                thing = window.api(f"/{path}s")["items"][0]
                path = f"/{path}s/{thing['id']}"
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_attached()
            page.wait_for_timeout(700)
            found[path] = violations(window, axe)
        page.goto("/")
        page.get_by_role("button", name="Table").click()
        page.get_by_role("table", name="Subnets and hosts of the map").get_by_role(
            "button"
        ).first.click()
        page.get_by_role("complementary").wait_for()
        found["map with table and details"] = violations(window, axe)
        page.get_by_role("button", name="Theme").click()
        found["open menu"] = violations(window, axe)
        assert {path: faults for path, faults in found.items() if faults} == {}


def test_the_pages_of_forwards_have_no_violation(
    forwarding: tuple[Window, Forwarder], axe: str
) -> None:
    window, forwarder = forwarding
    page = window.page
    forwarder.poll()
    forwarder.report(*links.shown())
    found: dict[str, list[str]] = {}
    page.goto("/forwards")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for address in (links.BUILD, links.TEST):
            page.goto("/forwards")
            expect(page.get_by_role("table", name="Forwards")).to_be_visible()
            found[f"forwards, {scheme}"] = violations(window, axe)
            page.get_by_role("link", name=address).first.click()
            expect(page.get_by_role("table", name="History")).to_be_visible()
            found[f"{address}, {scheme}"] = violations(window, axe)
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_the_pages_of_can_have_no_violation(wired: tuple[Window, Reporter], axe: str) -> None:
    window, reporter = wired
    page = window.page
    reporter.poll()
    reporter.report(buses.shown())
    found: dict[str, list[str]] = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto("/can")
        expect(page.get_by_role("table", name="Recoveries")).to_be_visible()
        found[f"CAN, {scheme}"] = violations(window, axe)
        page.get_by_role("link", name="can0", exact=True).first.click()
        expect(page.get_by_role("table", name="Endpoints")).to_be_visible()
        found[f"a bus, {scheme}"] = violations(window, axe)
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_the_pages_of_accounts_and_their_dialogs_have_no_violation(quiet: Window, axe: str) -> None:
    page = quiet.page
    post(quiet, "networks", {"name": "office"})
    bob = post(quiet, "users", {"name": "bob", "role": "member"})["id"]
    post(quiet, "keys", {"name": "backup"})
    (home,) = (n for n in quiet.api("/networks")["items"] if n["name"] == "home")
    post(quiet, "agents", {"name": "nas", "network_id": home["id"]})
    dialogs = {
        "/networks": ["Add a network", "Delete… office"],
        "/users": ["Invite a user"],
        f"/users/{bob}": ["Edit…", "New link…"],
        "/keys": ["Make a key", "Rotate… backup", "Revoke… backup"],
        "/agents": ["Add agent", "Edit… nas"],
        "/audit": [],
        "/account": [],
    }
    found: dict[str, list[str]] = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for path, buttons in dialogs.items():
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_attached()
            page.wait_for_timeout(500)
            found[f"{path}, {scheme}"] = violations(quiet, axe)
            for name in buttons:
                page.get_by_role("button", name=name, exact=True).click()
                expect(page.get_by_role("dialog")).to_be_visible()
                page.wait_for_timeout(300)
                found[f"{path}: {name}, {scheme}"] = violations(quiet, axe)
                page.keyboard.press("Escape")
    page.goto("/agents")
    page.get_by_role("button", name="Add agent").click()
    page.get_by_label("Name", exact=True).fill("gateway")
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("Waiting for the agent")).to_be_visible()
    found["the command of an agent"] = violations(quiet, axe)
    page.goto("/invitation?token=x&name=eve")
    expect(page.get_by_role("heading", name="Choose a password")).to_be_visible()
    found["an invitation"] = violations(quiet, axe)
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_the_log_in_page_has_no_violation(browser: Browser, shared: Mooring, axe: str) -> None:
    with Window(browser, shared.url) as window:
        window.page.goto("/")
        expect(window.page.get_by_role("heading", name="Log in")).to_be_visible()
        assert violations(window, axe) == []
