"""What the page shows of remote hosts and their forwards, and that it does so by itself."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from mooring.model.forward import (
    Diagnosis,
    Drop,
    ForwardState,
    LinkState,
    Moment,
    Pattern,
    Totals,
)
from tests.e2e import links
from tests.e2e.conftest import Window
from tests.e2e.links import BUILD, TEST, Forwarder

SOON = 10_000
"""Milliseconds for a report to be stored, told and fetched, on a busy machine."""


def test_without_a_remote_host_the_page_says_how_to_begin(
    forwarding: tuple[Window, Forwarder],
) -> None:
    window, forwarder = forwarding
    page = window.page
    page.goto("/")
    page.get_by_role("link", name="Forwards").click()
    expect(page.get_by_text("Nothing is forwarded yet")).to_be_visible()
    command = f"mooring forward run ssh://user@host --server {window.url} --key KEY"
    window.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=f"Copy the command {command}").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == command
    forwarder.poll()
    forwarder.report(links.live(BUILD, links.forward(8080, "web-1")))
    hosts = page.get_by_role("table", name="Remote hosts")
    expect(hosts.get_by_role("link", name=BUILD)).to_be_visible(timeout=SOON)
    expect(page.get_by_role("table", name="Forwards")).to_contain_text("127.0.0.1:8080")


def test_a_cut_holds_the_forwards_on_the_page_and_its_end_lets_them_go(
    forwarding: tuple[Window, Forwarder],
) -> None:
    window, forwarder = forwarding
    page = window.page
    forwarder.poll()
    forwarder.report(links.live(BUILD, *(links.forward(p, f"web-{p}") for p in (8080, 8081))))
    page.goto("/forwards")
    hosts = page.get_by_role("table", name="Remote hosts").locator("tbody tr")
    ports = page.get_by_role("table", name="Forwards").locator("tbody tr")
    expect(hosts).to_have_count(1)
    expect(hosts.first).to_contain_text("Live")
    expect(ports).to_have_count(2)
    held = [links.forward(p, f"web-{p}", ForwardState.HELD) for p in (8080, 8081)]
    forwarder.report(links.away(BUILD, *held, why="port 22: the connection was refused"))
    expect(hosts.first).to_contain_text("Backoff", timeout=SOON)
    expect(hosts.first).to_contain_text("port 22: the connection was refused")
    expect(hosts.first).to_contain_text("2 held")
    expect(hosts.first).to_contain_text("still away")
    expect(ports.filter(has_text="Held")).to_have_count(2)
    back = Drop(time.time() - 4, "network_interruption", 0.26)
    forwarder.report(
        links.live(
            BUILD,
            *(links.forward(p, f"web-{p}") for p in (8080, 8081)),
            generation=2,
            last_drop=back,
        )
    )
    expect(hosts.first).to_contain_text("Live", timeout=SOON)
    expect(hosts.first).to_contain_text("for 260 ms")
    expect(hosts.first).to_contain_text("Network interruption")
    expect(ports.filter(has_text="Listening")).to_have_count(2)


def test_a_conflict_stands_out_and_says_why(forwarding: tuple[Window, Forwarder]) -> None:
    window, forwarder = forwarding
    page = window.page
    why = "127.0.0.1:5432 is taken by postgres (pid 812)"
    forwarder.poll()
    forwarder.report(
        links.live(
            BUILD,
            links.forward(8080, "web-1"),
            links.forward(5432, "db-1", ForwardState.CONFLICT, detail=why),
        )
    )
    page.goto("/forwards")
    row = page.get_by_role("table", name="Forwards").locator("tbody tr", has_text="db-1")
    expect(row).to_contain_text("Conflict")
    expect(row).to_contain_text(why)
    expect(row).to_have_class(re.compile("stands-out"))
    expect(page.get_by_role("table", name="Remote hosts")).to_contain_text("1 conflict")
    page.get_by_role("combobox", name="State").select_option("Conflict")
    expect(page.get_by_role("table", name="Forwards").locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("state=conflict"))
    page.get_by_role("combobox", name="State").select_option("Held")
    expect(page.get_by_text("No forward is like that")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("table", name="Forwards").locator("tbody tr")).to_have_count(2)
    page.get_by_role("searchbox").fill("web-1")
    expect(page.get_by_role("table", name="Forwards").locator("tbody tr")).to_have_count(1)


def test_a_remote_host_shows_its_diagnosis_what_it_has_done_and_its_history(
    forwarding: tuple[Window, Forwarder],
) -> None:
    window, forwarder = forwarding
    page = window.page
    now = time.time()
    forwarder.poll()
    totals = Totals(now - 3600, (("stale_link", 3),), away_s=61, connections=1200, held=7)
    history = tuple(
        Moment(now - 3600 + n, "opened", f"127.0.0.1:{9000 + n}/tcp", f"web-{n}") for n in range(40)
    )
    well = links.live(BUILD, links.forward(8080, "web-1"), totals=totals, history=history)
    forwarder.report(well)
    page.goto("/forwards")
    page.get_by_role("link", name=BUILD).first.click()
    expect(page.get_by_role("heading", name=BUILD, level=1)).to_be_focused()
    facts = page.get_by_role("region", name="Facts")
    expect(facts).to_contain_text("Docker 28.0.1")
    expect(facts).to_contain_text("Healthy")
    expect(facts).to_contain_text(re.compile(r"Last lost\s*Not since it was started,\s*1 hour ago"))
    expect(facts).to_contain_text(re.compile(r"Last heard of\s*in the last minute"))
    done = page.get_by_role("region", name="Since it was started")
    expect(done).to_contain_text("3 × stale link")
    expect(done).to_contain_text("1 min 1 sec")
    expect(done).to_contain_text("1,200")
    past = page.get_by_role("table", name="History").locator("tbody tr")
    expect(past).to_have_count(25)
    expect(past.first).to_contain_text("127.0.0.1:9039/tcp")
    page.get_by_role("navigation", name="Pages of the list").get_by_role(
        "button", name="Next"
    ).click()
    expect(past).to_have_count(15)
    stale = Diagnosis(
        Pattern.STALE_LINK,
        ("the link is there, and a command over it did not end in 5 s",),
        ("on the remote host, in /etc/ssh/sshd_config: ClientAliveInterval 15",),
    )
    forwarder.report(
        links.live(BUILD, links.forward(8080, "web-1"), diagnosis=stale, totals=totals)
    )
    diagnosis = page.get_by_role("region", name="Stale link")
    expect(diagnosis).to_contain_text("did not end in 5 s", timeout=SOON)
    expect(diagnosis).to_contain_text("ClientAliveInterval 15")
    over = replace(stale, evidence=("in the last hour: stale link, 1 time",), now=False)
    forwarder.report(links.live(BUILD, links.forward(8080, "web-1"), diagnosis=over, totals=totals))
    expect(diagnosis).to_have_count(0, timeout=SOON)
    expect(facts).to_contain_text("Healthy now")
    expect(facts).to_contain_text("In the last hour: stale link, 1 time")


def test_a_program_that_falls_silent_and_a_host_that_is_given_up_are_told_apart(
    forwarding: tuple[Window, Forwarder],
) -> None:
    window, forwarder = forwarding
    page = window.page
    forwarder.poll()
    other = "ssh://other.example.net"
    both = links.live(BUILD, links.forward(8080, "web-1")), links.live(other)
    forwarder.report(*both)
    page.goto("/agents")
    agent = page.get_by_role("article")
    expect(agent.get_by_role("link", name=BUILD)).to_be_visible()
    expect(agent.get_by_role("button", name=re.compile("Look now"))).to_have_count(0)
    agent.get_by_role("link", name=other).click()
    expect(page.get_by_role("heading", name=other)).to_be_visible()
    expect(page.get_by_role("button", name="Forget")).to_have_count(0)
    forwarder.report(both[0])
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Gone", timeout=SOON)
    page.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(page).to_have_url(re.compile("/forwards$"))
    hosts = page.get_by_role("table", name="Remote hosts").locator("tbody tr")
    expect(hosts).to_have_count(1)
    forwarder.poll(leaving=True)
    expect(hosts.first).to_contain_text("Was live", timeout=SOON)
    expect(hosts.first).to_contain_text("Last heard of")
    port = page.get_by_role("table", name="Forwards").locator("tbody tr")
    expect(port).to_contain_text(re.compile(r"Was listening\s*until"))
    hosts.first.get_by_role("link", name=BUILD).click()
    silence = page.get_by_role("region", name="Nothing is heard of workstation")
    expect(silence).to_contain_text("mooring forward status")
    expect(silence).to_contain_text(
        f"start it there again, as it was started: mooring forward run {BUILD}"
    )
    expect(silence).not_to_contain_text("held for 30 s")


def test_after_a_clean_stop_the_page_says_that_it_was_stopped(
    forwarding: tuple[Window, Forwarder],
) -> None:
    window, forwarder = forwarding
    page = window.page
    forwarder.poll()
    forwarder.report(links.live(BUILD, links.forward(8080, "web-1")))
    page.goto("/forwards")
    expect(page.get_by_role("table", name="Forwards")).to_contain_text("Listening")
    forwarder.report(links.live(BUILD, state=LinkState.STOPPED))
    forwarder.poll(leaving=True)
    nothing = "Nothing is forwarded by workstation now"
    expect(page.get_by_text(nothing)).to_be_visible(timeout=SOON)
    expect(page.get_by_text(re.compile("It was stopped just now"))).to_be_visible()
    page.get_by_role("link", name=BUILD).click()
    expect(page.get_by_text(nothing)).to_be_visible()
    page.goto("/timeline")
    expect(page.get_by_role("table", name="Timeline")).to_contain_text(
        "Agent workstation went offline"
    )


def test_the_timeline_tells_of_links_and_leads_to_them(
    forwarding: tuple[Window, Forwarder],
) -> None:
    window, forwarder = forwarding
    page = window.page
    forwarder.poll()
    forwarder.report(links.live(BUILD, links.forward(8080, "web-1")))
    page.goto("/timeline")
    row = page.get_by_role("table", name="Timeline").locator("tbody tr", has_text=BUILD).first
    expect(row).to_contain_text("remote host")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name=BUILD)).to_be_visible()


@pytest.mark.parametrize("path", ["/forwards", "a remote host"])
def test_a_page_of_forwards_fits_a_phone(forwarding: tuple[Window, Forwarder], path: str) -> None:
    window, forwarder = forwarding
    page = window.page
    forwarder.poll()
    forwarder.report(*links.shown())
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/forwards")
    if path != "/forwards":
        page.get_by_role("link", name=TEST).click()
    expect(page.get_by_role("table", name="Forwards")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
