"""Lists of some length, and hosts with something to show: a sample site on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import sample
from tests.e2e.conftest import Window
from tests.e2e.site import Mooring, agent_key, set_up


@pytest.fixture(scope="module")
def sampled(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Mooring, Any]]:
    """A server with the sample site, and what a browser keeps of a log-in to it."""
    server = Mooring(tmp_path_factory.mktemp("sample"), "server")
    server.start()
    context = browser.new_context()
    page = context.new_page()
    assert server.link is not None
    set_up(page, server.link)
    sample.send(server.url, agent_key(page, server.url), sample.site())
    state = context.storage_state()
    context.close()
    yield server, state
    server.stop()


@pytest.fixture
def window(browser: Browser, sampled: tuple[Mooring, Any]) -> Iterator[Window]:
    server, state = sampled
    with Window(browser, server.url, storage_state=state) as window:
        yield window


def test_pages_are_turned_and_the_way_back_leads_to_the_same_one(window: Window) -> None:
    page = window.page
    total = window.api("/hosts")["total"]
    assert 25 < total < 50
    page.goto("/hosts")
    rows = page.get_by_role("table", name="Hosts").locator("tbody tr")
    expect(rows).to_have_count(25)
    pages = page.get_by_role("navigation", name="Pages of the list")
    expect(pages).to_contain_text(f"1–25 of {total}")
    pages.get_by_role("button", name="Next").click()
    expect(pages).to_contain_text(f"26–{total} of {total}")
    expect(pages.get_by_role("button", name="Next")).to_be_disabled()
    name = rows.first.get_by_role("link").first.inner_text()
    rows.first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    page.go_back()
    expect(pages).to_contain_text(f"26–{total} of {total}")
    pages.get_by_role("button", name="Previous").click()
    expect(pages).to_contain_text(f"1–25 of {total}")
    page.get_by_label("Rows").select_option("50")
    expect(rows).to_have_count(total)


def test_a_search_finds_hosts_on_any_page(window: Window) -> None:
    page = window.page
    page.goto("/hosts")
    page.get_by_role("searchbox").fill("storage")
    rows = page.get_by_role("table", name="Hosts").locator("tbody tr")
    expect(rows).to_have_count(window.api("/hosts?q=storage")["total"])
    for row in rows.all():
        expect(row).to_contain_text("storage")


SEARCH_AND_LEAVE = """field => {
  field.value = 'nas'
  field.dispatchEvent(new Event('input', { bubbles: true }))
  document.querySelector('nav a[href="/services"]').click()
}"""


def test_who_leaves_while_typing_a_search_takes_it_to_no_other_page(window: Window) -> None:
    page = window.page
    page.goto("/hosts")
    page.get_by_label("Search hosts by name or address").evaluate(SEARCH_AND_LEAVE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Services")
    page.wait_for_timeout(500)  # longer than typing must pause for a search
    expect(page).to_have_url(re.compile("/services$"))


def test_columns_that_are_not_wanted_stay_away(window: Window) -> None:
    page = window.page
    page.goto("/hosts")
    header = page.get_by_role("columnheader", name="System")
    expect(header).to_be_visible()
    page.get_by_text("Columns").click()
    page.get_by_label("System").uncheck()
    expect(header).to_have_count(0)
    page.reload()
    expect(page.get_by_role("columnheader", name="Addresses")).to_be_visible()
    expect(header).to_have_count(0)


def test_a_host_shows_its_containers_its_ports_and_what_was_set_aside(window: Window) -> None:
    page = window.page
    page.goto("/hosts?q=app-01")
    page.get_by_role("link", name="app-01", exact=True).click()
    containers = page.get_by_role("table", name="Containers")
    web = containers.get_by_role("row").filter(has_text="shop-web-1")
    expect(web).to_contain_text("8080 → 80/tcp")
    expect(web).to_contain_text("Running")
    expect(web.get_by_role("cell").nth(0)).to_contain_text("shop")
    aside = page.get_by_role("region", name="Set aside")
    expect(aside).to_contain_text("10.0.0.300/33 of tun7")
    expect(aside).to_contain_text("expected an IPv4 network, got 10.0.0.300")
    expect(page.get_by_role("region", name="Agent")).to_contain_text("Docker 27.3.1 answered in")


def test_only_the_rows_in_sight_of_the_map_as_a_table_are_in_the_page(window: Window) -> None:
    page = window.page
    (network,) = window.api("/networks")["items"]
    drawn = window.api(f"/map?network_id={network['id']}")
    everything = len(drawn["hosts"]) + len(drawn["subnets"])
    page.set_viewport_size({"width": 1000, "height": 500})
    page.goto("/")
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("table", name="Subnets and hosts of the map")
    expect(table).to_have_attribute("aria-rowcount", str(everything + 1))
    expect(table.get_by_role("button").first).to_be_visible()
    assert table.get_by_role("button").count() < everything
    table.get_by_role("button").first.press("End")
    expect(table.locator(f"tr[aria-rowindex='{everything + 1}'] button")).to_be_focused()


def test_a_new_host_appears_on_the_map_by_itself(window: Window) -> None:
    page = window.page
    page.goto("/")
    before = window.api("/hosts")["total"]
    picture = page.get_by_role("img", name=re.compile(f"Map of {before} hosts"))
    expect(picture).to_be_visible()
    machine, engines = sample.site(office=0, servers=1, lab=0)[0]
    newcomer = sample.renamed(machine, "newcomer"), engines
    sample.send(window.url, agent_key(page, window.url), [newcomer], bad=False)
    expect(page.get_by_role("img", name=re.compile(f"Map of {before + 1} hosts"))).to_be_visible()
