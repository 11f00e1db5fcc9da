"""What the page does by itself: runs that progress, changes that storm, a server that goes away."""

from __future__ import annotations

import re
import signal
import time
from collections import defaultdict
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.e2e.conftest import Window
from tests.e2e.site import Mooring, set_up


def test_a_run_started_from_the_page_is_seen_to_complete(look: Window) -> None:
    page = look.page
    page.goto("/runs")
    expect(page.get_by_role("table", name="Runs")).to_be_visible()
    page.get_by_role("button", name=re.compile("Look now")).click()
    expect(page).to_have_url(re.compile(r"/runs/.+"))
    state = page.get_by_role("region", name="How it goes")
    expect(state).to_contain_text("Complete", timeout=30_000)
    stored = page.get_by_role("region", name="What it stored")
    expect(stored.get_by_text("Interfaces")).to_be_visible()


def test_a_run_asked_for_elsewhere_appears_by_itself(look: Window) -> None:
    page = look.page
    page.goto("/runs")
    rows = page.get_by_role("table", name="Runs").locator("tbody tr")
    expect(rows.first).to_be_visible()
    before = rows.count()
    agent = look.api("/agents")["items"][0]
    answer = page.context.request.post(
        f"{look.url}/api/v1/runs",
        data={"agent_id": agent["id"]},
        headers={"Origin": look.url},
    )
    assert answer.status == 202, answer.text()
    expect(rows).to_have_count(before + 1)
    expect(rows.first).to_contain_text("Complete", timeout=30_000)


def test_a_storm_of_changes_is_one_fetch_a_second_for_each_question(own: Window) -> None:
    page = own.page
    page.goto("/hosts")
    expect(page.get_by_role("table", name="Hosts").get_by_role("link").first).to_be_visible()
    host = own.api("/hosts")["items"][0]
    asked: dict[str, list[float]] = defaultdict(list)

    def note(request: Request) -> None:
        if request.method == "GET" and request.resource_type == "fetch":
            asked[request.url].append(time.monotonic())

    page.on("request", note)
    page.wait_for_timeout(1200)
    asked.clear()
    begun = time.monotonic()
    renames = 0
    while time.monotonic() - begun < 6:
        own.context.request.patch(
            f"{own.url}/api/v1/hosts/{host['id']}",
            data={"name": f"name {renames}"},
            headers={"Origin": own.url},
        )
        renames += 1
        # Lets the browser's events through; a page also hears of its own requests here.
        page.wait_for_timeout(5)
    lasted = time.monotonic() - begun
    expect(page.get_by_role("link", name=f"name {renames - 1}", exact=True)).to_be_visible()
    page.wait_for_timeout(1500)
    lists = {url: at for url, at in asked.items() if urlsplit(url).path == "/api/v1/hosts"}
    assert renames > 60
    assert len(lists) == 1
    for url, at in asked.items():
        assert len(at) <= lasted + 2, url
        gaps = [after - before for before, after in pairwise(at)]
        # A busy machine hears of one late and of the next at once.
        assert min(gaps, default=1) > 0.5, (url, gaps)


def test_a_page_that_shows_no_hosts_does_not_fetch_them(own: Window) -> None:
    page = own.page
    page.goto("/agents")
    expect(page.get_by_role("article").first).to_be_visible()
    host = own.api("/hosts")["items"][0]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    for n in range(5):
        own.context.request.patch(
            f"{own.url}/api/v1/hosts/{host['id']}",
            data={"name": f"name {n}"},
            headers={"Origin": own.url},
        )
        page.wait_for_timeout(300)
    page.wait_for_timeout(1200)
    assert [path for path in asked if path in {"/api/v1/hosts", "/api/v1/map"}] == []


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_goes_away_is_noticed_and_its_return_too(
    browser: Browser, mooring: Mooring, sign: signal.Signals
) -> None:
    with Window(browser, mooring.url) as window:
        window.forgive("ERR_CONNECTION_REFUSED")
        window.forgive("ERR_INCOMPLETE_CHUNKED_ENCODING")
        window.forgive("ERR_CONNECTION_RESET")
        window.forgive("ERR_EMPTY_RESPONSE")
        page = window.page
        assert mooring.link is not None
        set_up(page, mooring.link)
        page.goto("/runs")
        rows = page.get_by_role("table", name="Runs").locator("tbody tr")
        expect(rows.first).to_be_visible()
        before = rows.count()
        mooring.stop(sign)
        banner = page.get_by_text("The server does not answer. What you see may be out of date")
        expect(banner).to_be_visible()
        expect(rows.first).to_be_visible()
        mooring.start()
        expect(banner).not_to_be_visible(timeout=15_000)
        expect(page.get_by_role("status")).to_contain_text("Live")
        # The agent's look at its start is a run that happened while nobody listened.
        expect(rows).not_to_have_count(before, timeout=15_000)


@pytest.mark.slow
def test_a_server_that_hangs_is_noticed_and_its_waking_too(
    browser: Browser, mooring: Mooring
) -> None:
    with Window(browser, mooring.url) as window:
        page = window.page
        assert mooring.link is not None
        set_up(page, mooring.link)
        mooring.send(signal.SIGSTOP)
        page.get_by_role("link", name="Runs").click()
        banner = page.get_by_text("The server does not answer. What you see may be out of date")
        expect(banner).to_be_visible(timeout=40_000)
        mooring.send(signal.SIGCONT)
        expect(page.get_by_role("table", name="Runs")).to_be_visible(timeout=20_000)
        expect(banner).not_to_be_visible()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_an_open_page_does_not_hold_up_the_end_of_the_server(
    browser: Browser, mooring: Mooring, sign: signal.Signals
) -> None:
    with Window(browser, mooring.url) as window:
        window.forgive("ERR_")
        assert mooring.link is not None
        set_up(window.page, mooring.link)
        expect(window.page.get_by_role("status")).to_contain_text("Live")
        took = mooring.stop(sign)
        # How long that may take is for a machine with nothing else to do: what must never be
        # needed is that whoever is served is cut off when the time for it has run out.
        assert took < 10
        assert "graceful shutdown exceeded" not in mooring.said()
