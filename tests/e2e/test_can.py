"""What the page shows of CAN buses, what is wrong with them and what was mended, by itself."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from mooring.model.can import Finding, Recovered, Recovery, Weight
from tests.e2e import buses, sample
from tests.e2e.buses import Reporter
from tests.e2e.conftest import Window
from tests.e2e.test_pages import pixels

SOON = 10_000
"""Milliseconds for a report to be stored, told and fetched, on a busy machine."""
DIAMOND = [0xC4, 0x20, 0x4F]
"""The colour of a bus on the map in the light theme."""


def test_without_a_bus_the_page_says_how_to_begin(wired: tuple[Window, Reporter]) -> None:
    window, reporter = wired
    page = window.page
    page.goto("/")
    page.get_by_role("link", name="CAN", exact=True).click()
    expect(page.get_by_text("There is no CAN bus yet")).to_be_visible()
    expect(page.get_by_role("code").filter(has_text="--driver mooring-can")).to_be_visible()
    command = "sudo mooring can install"
    window.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=f"Copy the command {command}").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == command
    reporter.poll()
    reporter.report(buses.wiring(buses.bus("vcan0", buses.endpoint("a"))))
    table = page.get_by_role("table", name="Buses")
    expect(table.get_by_role("link", name="vcan0")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("table", name="Drivers")).to_contain_text("Answers, 0.1.0")


def test_a_bus_that_goes_down_stands_out_with_its_remedy_and_is_well_again_by_itself(
    wired: tuple[Window, Reporter],
) -> None:
    window, reporter = wired
    page = window.page
    reporter.poll()
    two = buses.endpoint("a"), buses.endpoint("b", access="ro")
    well = buses.bus("vcan0", *two)
    reporter.report(buses.wiring(well))
    page.goto("/can")
    row = page.get_by_role("table", name="Buses").locator("tbody tr").first
    expect(row).to_contain_text("Up")
    expect(row).not_to_have_class(re.compile("stands-out"))
    down = Finding(Weight.ERROR, "vcan0", "the bus's interface is down", buses.REPAIR)
    broken = replace(well, up=False, rules_present=8)
    reporter.report(buses.wiring(broken, findings=(down,)))
    expect(row).to_contain_text("Down", timeout=SOON)
    expect(row).to_contain_text("the bus's interface is down")
    expect(row).to_contain_text("8 of 12")
    expect(row).to_have_class(re.compile("stands-out"))
    row.get_by_role("link", name="vcan0").click()
    expect(page.get_by_role("heading", name="vcan0", level=1)).to_be_focused()
    wrong = page.get_by_role("region", name="Frames do not get where they should")
    expect(wrong.get_by_role("button", name="Copy the command mooring can repair")).to_be_visible()
    mended = Recovery(Recovered.RULES, "vcan0", "4 rules", time.time())
    reporter.report(buses.wiring(well, recoveries=(mended,)))
    expect(wrong).to_have_count(0, timeout=SOON)
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Up")
    expect(page.get_by_role("table", name="Recoveries")).to_contain_text("4 rules")


def test_a_bus_shows_its_endpoints_what_they_may_do_and_what_they_did(
    wired: tuple[Window, Reporter],
) -> None:
    window, reporter = wired
    page = window.page
    reporter.poll()
    listener = buses.endpoint("listener", access="ro", received=81_204, dropped=3)
    lost = buses.endpoint("lost", interface="")
    reporter.report(buses.wiring(buses.bus("vcan0", listener, lost)))
    page.goto("/can")
    page.get_by_role("link", name="vcan0", exact=True).first.click()
    rows = page.get_by_role("table", name="Endpoints").locator("tbody tr")
    expect(rows).to_have_count(2)
    first = rows.filter(has_text=listener.id[:12])
    expect(first).to_contain_text("Only hears")
    expect(first).to_contain_text("81,204")
    expect(first).to_contain_text(listener.interface)
    expect(rows.filter(has_text=lost.id[:12])).to_contain_text("Missing")
    more = replace(listener, received=81_300)
    reporter.report(buses.wiring(buses.bus("vcan0", more, lost)))
    expect(first).to_contain_text("81,300", timeout=SOON)


def test_the_recoveries_of_a_boot_stand_newest_first_and_lead_to_their_buses(
    wired: tuple[Window, Reporter],
) -> None:
    window, reporter = wired
    page = window.page
    reporter.poll()
    reporter.report(buses.shown())
    page.goto("/can")
    rows = page.get_by_role("table", name="Recoveries").locator("tbody tr")
    expect(rows).to_have_count(9)
    expect(rows.first).to_contain_text("1 hour ago")
    expect(rows.last).to_contain_text("Bus made again")
    rows.last.get_by_role("link", name="vcan0").click()
    expect(page.get_by_role("heading", name="vcan0", level=1)).to_be_visible()
    expect(page.get_by_role("table", name="Recoveries").locator("tbody tr")).to_have_count(5)


def test_what_a_silent_machine_last_said_is_past_and_a_bus_that_is_taken_away_is_gone(
    wired: tuple[Window, Reporter],
) -> None:
    window, reporter = wired
    page = window.page
    reporter.poll()
    reporter.report(buses.shown())
    page.goto("/can")
    rows = page.get_by_role("table", name="Buses").locator("tbody tr")
    expect(rows).to_have_count(2)
    reporter.poll(leaving=True)
    broken = rows.filter(has=page.get_by_role("link", name="can0", exact=True))
    expect(broken).to_contain_text("Was bus off", timeout=SOON)
    expect(broken).to_contain_text("Last heard of")
    expect(broken).not_to_have_class(re.compile("stands-out"))
    expect(page.get_by_role("table", name="Drivers")).to_contain_text("Answered, 0.1.0")
    reporter.poll()
    reporter.report(buses.wiring(buses.bus("vcan0", buses.endpoint("gateway"))))
    expect(rows).to_have_count(1, timeout=SOON)
    page.get_by_role("combobox", name="Which buses").select_option("There no longer")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("can0")
    expect(rows.first).to_contain_text("Gone")


def test_the_timeline_tells_of_buses_and_recoveries_and_leads_to_them(
    wired: tuple[Window, Reporter],
) -> None:
    window, reporter = wired
    page = window.page
    reporter.poll()
    reporter.report(buses.wiring(buses.bus("vcan0", buses.endpoint("a"))))
    mended = Recovery(Recovered.RULES, "vcan0", "4 rules", time.time())
    reporter.report(buses.wiring(buses.bus("vcan0", buses.endpoint("a")), recoveries=(mended,)))
    page.goto("/timeline")
    table = page.get_by_role("table", name="Timeline")
    expect(table).to_contain_text("New CAN bus")
    table.locator("tbody tr", has_text="4 rules").get_by_role("link").click()
    expect(page.get_by_role("heading", name="vcan0", level=1)).to_be_visible()


def test_the_map_draws_a_bus_at_its_host_and_says_how_it_is(
    wired: tuple[Window, Reporter],
) -> None:
    window, reporter = wired
    page = window.page
    (machine, engines) = next(one for one in sample.site() if one[0].hostname == "rig-01")
    (outbox,) = sample.send(reporter.url, reporter.key, [(machine, engines)], bad=False)
    rig = replace(reporter, duties=("discovery", "can"), outbox=outbox, number=2)
    rig.poll()
    rig.report(buses.shown())
    page.emulate_media(reduced_motion="reduce", color_scheme="light")
    page.goto("/")
    stage = page.get_by_role("img", name=re.compile("with 2 CAN buses"))
    expect(stage.locator("canvas")).not_to_have_count(0)
    page.wait_for_timeout(800)
    assert pixels(page, stage.screenshot(), DIAMOND) > 20
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("table", name="Subnets and hosts of the map")
    row = table.locator("tbody tr", has=page.get_by_role("button", name="can0", exact=True))
    expect(row).to_contain_text("CAN bus")
    expect(row).to_contain_text("rig-01")
    row.get_by_role("button").click()
    details = page.get_by_role("complementary", name="Details of can0")
    expect(details).to_contain_text("Bus off")
    details.get_by_role("link", name="Open the bus").click()
    expect(page.get_by_role("heading", name="can0", level=1)).to_be_visible()


@pytest.mark.parametrize("path", ["/can", "a bus"])
def test_a_page_of_can_fits_a_phone(wired: tuple[Window, Reporter], path: str) -> None:
    window, reporter = wired
    page = window.page
    reporter.poll()
    reporter.report(buses.shown())
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/can")
    if path != "/can":
        page.get_by_role("link", name="can0", exact=True).first.click()
    expect(page.get_by_role("table", name="Recoveries")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
