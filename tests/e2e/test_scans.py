"""Scans on the page: asked for, watched, cancelled, over a restart; what they find."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from mooring.model.scan import Depth
from tests.e2e import sample, scanned
from tests.e2e.conftest import Window
from tests.e2e.scanned import OFFICE, Scanner, line
from tests.e2e.site import Mooring, agent_key, set_up
from tests.e2e.test_accessibility import AXE, violations

NAS = scanned.Device(50, "00:11:32:7a:90:11", "nas.local", ("samba", "nginx", "openssh"))
RADIO = scanned.Device(62, "b8:27:eb:55:10:42", "radio.local", ("mpd", "openssh"))


@pytest.fixture
def scanner(quiet: Window) -> Scanner:
    """The one agent of the window's server; it scans."""
    agent = Scanner(quiet.url, agent_key(quiet.page, quiet.url))
    agent.poll()
    return agent


@pytest.fixture
def office(quiet: Window, scanner: Scanner) -> Scanner:
    """The agent, when it has reported what it found in the office."""
    scanner.report(scanned.scan(OFFICE, [scanned.seen(OFFICE, d) for d in (NAS, RADIO)]))
    return scanner


def ask_scan(page: Page, targets: str) -> None:
    page.goto("/runs")
    page.get_by_role("button", name="Scan…").click()
    page.get_by_label("Networks and addresses").fill(targets)
    page.get_by_role("button", name="Start the scan").click()


def how_it_goes(page: Page) -> Locator:
    return page.get_by_role("region", name="How it goes")


def asked_of(agent: Scanner) -> tuple[str, dict[str, Any]]:
    """The one run that the agent is asked for, and its order."""
    work = agent.poll(wait_s=10)
    (run,) = work["runs"]
    return run, work["orders"][run]


def test_a_scan_is_asked_for_in_a_dialog_watched_and_cancelled_in_mid_phase(
    quiet: Window, scanner: Scanner
) -> None:
    page = quiet.page
    ask_scan(page, "10.20.0.0/24, 10.20.8.7")
    expect(page.get_by_role("heading", level=1)).to_have_text("Scan of 10.20.0.0/24 and 10.20.8.7")
    state = how_it_goes(page)
    expect(state).to_contain_text("Waiting for the agent")
    run, order = asked_of(scanner)
    assert order == {"targets": ["10.20.0.0/24", "10.20.8.7/32"], "depth": "light"}
    scanner.tell(run, state="starting")
    scanner.tell(run, state="running", phase="hosts", done=256, total=257)
    told = [line("10.20.0.50 is there"), line("it answers slowly", level="warning")]
    scanner.report(scanned.scan(OFFICE, [scanned.seen(OFFICE, NAS, Depth.NONE)]), run)
    scanner.tell(run, state="running", phase="ports", done=3, total=9, remaining_s=75, lines=told)
    steps = state.get_by_role("listitem")
    expect(steps.nth(0)).to_contain_text("256 of 257 addresses")
    expect(state.locator("[aria-current=step]")).to_contain_text("3 of 9")
    expect(state).to_contain_text("left")
    expect(page.get_by_role("log")).to_contain_text("10.20.0.50 is there")
    expect(page.get_by_role("region", name="Found so far")).to_contain_text("1")
    page.get_by_role("button", name="Cancel").click()
    expect(state).to_contain_text("Cancelled")
    expect(state).to_contain_text("cancelled by ada")
    expect(state.locator("[aria-current=step]")).to_have_count(0)
    assert scanner.poll([run])["cancelled"] == [run]


def test_a_server_that_restarts_in_mid_run_costs_the_page_nothing(
    browser: Browser, mooring_alone: Mooring
) -> None:
    with Window(browser, mooring_alone.url) as window:
        window.forgive("ERR_")
        page = window.page
        set_up(page, mooring_alone.link or "")
        agent = Scanner(window.url, agent_key(page, window.url))
        agent.poll()
        ask_scan(page, OFFICE)
        run, _ = asked_of(agent)
        agent.tell(run, state="starting")
        agent.tell(run, state="running", phase="hosts", done=100, total=256, remaining_s=60)
        state = how_it_goes(page)
        expect(state).to_contain_text("100 of 256 addresses")
        mooring_alone.stop(signal.SIGKILL)
        banner = page.get_by_text("The server does not answer. What you see may be out of date")
        expect(banner).to_be_visible()
        # What is not known any more is not counted on.
        expect(state).to_contain_text("no news since")
        expect(state).not_to_contain_text("left")
        mooring_alone.start()
        expect(banner).not_to_be_visible(timeout=20_000)
        agent.poll([run])
        agent.tell(run, state="running", phase="ports", done=4, total=9, remaining_s=20)
        expect(state).to_contain_text("4 of 9")
        expect(state).to_contain_text("left")
        agent.report(scanned.scan(OFFICE, [scanned.seen(OFFICE, NAS)]), run, final=True)
        expect(state).to_contain_text("Complete")
        expect(page.get_by_role("region", name="What it stored")).to_contain_text("Hosts")


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.20.0.5/24", "10.20.0.5/24"),
        ("the office", "the"),
        ("10.99.0.0/24", "10.20.0.0/16"),
    ],
)
def test_what_cannot_be_scanned_is_said_at_the_field(
    quiet: Window, scanner: Scanner, targets: str, why: str
) -> None:
    quiet.forgive("status of 4")
    page = quiet.page
    scanner.allowed = ["10.20.0.0/16"]
    scanner.poll()
    ask_scan(page, targets)
    field = page.get_by_label("Networks and addresses")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(why)
    field.fill("10.20.4.0/24")
    page.get_by_role("button", name="Start the scan").click()
    expect(page).to_have_url(re.compile(r"/runs/.+"))


def test_the_dialog_says_what_will_be_done_and_offers_the_known_networks(
    quiet: Window, office: Scanner
) -> None:
    page = quiet.page
    page.goto("/subnets")
    page.get_by_role("button", name="Scan…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("every address of the networks that it is attached to")
    dialog.get_by_role("button", name=OFFICE).click()
    expect(dialog.get_by_label("Networks and addresses")).to_have_value(OFFICE)
    dialog.get_by_label("All ports").check()
    expect(dialog).to_contain_text("256 addresses of 10.20.0.0/24")
    expect(dialog).to_contain_text("all 65,535 TCP ports")


def test_a_host_shows_its_ports_and_on_demand_the_evidence(quiet: Window, office: Scanner) -> None:
    page = quiet.page
    page.goto("/hosts?q=nas")
    page.get_by_role("link", name="nas.local", exact=True).click()
    table = page.get_by_role("table", name="Open ports")
    row = table.get_by_role("row").filter(has_text="22/tcp")
    expect(row.get_by_role("link", name="OpenSSH 9.2p1")).to_be_visible()
    expect(row).to_contain_text("SSH-2.0-OpenSSH_9.2p1")
    row.get_by_role("button", name=re.compile("Why")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("SSH greeting")
    expect(dialog.get_by_role("meter")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    page.get_by_role("button", name="Scan again…").click()
    page.get_by_role("button", name="Start the scan").click()
    expect(page).to_have_url(re.compile(r"/runs/.+"))
    assert asked_of(office)[1]["targets"] == ["10.20.0.50/32"]


def test_a_port_that_a_scan_finds_appears_by_itself(quiet: Window, office: Scanner) -> None:
    page = quiet.page
    page.goto("/hosts?q=radio")
    page.get_by_role("link", name="radio.local", exact=True).click()
    table = page.get_by_role("table", name="Open ports")
    expect(table).not_to_contain_text("6680/tcp")
    more = scanned.Device(RADIO.at, RADIO.mac, RADIO.name, (*RADIO.runs, "mopidy"))
    office.report(scanned.scan(OFFICE, [scanned.seen(OFFICE, d) for d in (NAS, more)]))
    expect(table).to_contain_text("6680/tcp")


def test_services_lead_to_where_they_run(quiet: Window, office: Scanner) -> None:
    page = quiet.page
    page.goto("/services")
    row = page.get_by_role("table", name="Services").get_by_role("row").filter(has_text="OpenSSH")
    expect(row.get_by_role("cell").nth(1)).to_have_text("2")
    row.get_by_role("link", name="OpenSSH").click()
    ports = page.get_by_role("table", name="Ports with OpenSSH")
    expect(ports.get_by_role("link", name="nas.local")).to_be_visible()
    expect(ports.get_by_role("link", name="radio.local")).to_be_visible()


NAMES = """() => {
  const canvas = document.querySelector('canvas.sigma-labels')
  if (!canvas?.width) return false
  const copy = new OffscreenCanvas(canvas.width, canvas.height)
    .getContext('2d', { willReadFrequently: true })
  copy.drawImage(canvas, 0, 0)
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height)
  return data.some((value) => value > 0)
}"""
"""Whether a name stands anywhere in the picture."""


def test_what_is_found_in_a_layer_that_was_not_shown_is_in_the_middle_of_the_map(
    quiet: Window, office: Scanner
) -> None:
    page = quiet.page
    page.emulate_media(reduced_motion="reduce")
    page.goto("/")
    page.wait_for_function(NAMES)
    page.get_by_role("combobox", name="Find something on the map").fill("mpd")
    page.get_by_role("option", name=re.compile("MPD|Music")).first.click()
    expect(page.get_by_role("img", name=re.compile("services and containers"))).to_be_visible()
    page.get_by_role("complementary").wait_for()
    page.wait_for_timeout(300)  # a picture of before must not count
    page.wait_for_function(NAMES)


def test_the_map_shows_what_runs_where_when_it_is_wanted(quiet: Window, office: Scanner) -> None:
    page = quiet.page
    page.goto("/")
    finder = page.get_by_role("combobox", name="Find something on the map")
    finder.fill("mpd")
    page.get_by_role("option", name=re.compile("MPD|Music")).first.click()
    expect(page.get_by_role("img", name=re.compile("services and containers"))).to_be_visible()
    details = page.get_by_role("complementary")
    expect(details).to_contain_text("6600")
    details.get_by_role("button", name="radio.local").click()
    expect(details.get_by_role("heading", level=2)).to_have_text("radio.local")
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("table", name="Subnets and hosts of the map")
    expect(table.get_by_role("button", name=re.compile("MPD|Music")).first).to_be_visible()
    page.get_by_role("button", name="Services", exact=True).click()
    expect(table.get_by_role("button", name=re.compile("MPD|Music"))).to_have_count(0)


def test_search_finds_things_by_keyboard_from_any_page(quiet: Window, office: Scanner) -> None:
    page = quiet.page
    page.goto("/agents")
    page.get_by_role("heading", level=1).wait_for()
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name=re.compile("Search hosts"))
    expect(field).to_be_focused()
    page.keyboard.type("nas")
    expect(page.get_by_role("option").first).to_contain_text("nas.local")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("nas.local")
    page.keyboard.press("Control+k")
    page.keyboard.type("openssh")
    page.get_by_role("group", name="Services").get_by_role("option").first.click()
    expect(page).to_have_url(re.compile("/services/openssh$"))
    page.keyboard.press("Control+k")
    page.keyboard.type("no such thing anywhere")
    expect(page.get_by_text("Nothing here is called")).to_be_visible()
    page.keyboard.press("Escape")
    expect(field).not_to_be_visible()


def test_enter_goes_to_nothing_that_was_found_for_other_words(
    quiet: Window, office: Scanner
) -> None:
    page = quiet.page
    page.goto("/agents")
    page.get_by_role("heading", level=1).wait_for()
    page.keyboard.press("Control+k")
    page.keyboard.type("nas")
    found = page.get_by_role("listbox", name="Found")
    expect(found.get_by_role("option").first).to_contain_text("nas.local")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/v1/search?*", hold)
    with page.expect_request("**/api/v1/search?*"):
        page.keyboard.type("xyz")
    page.keyboard.press("Enter")
    expect(found).to_be_visible()
    expect(page).to_have_url(re.compile("/agents$"))
    for route in held:
        route.continue_()
    expect(page.get_by_text("Nothing here is called")).to_be_visible()


def test_search_finds_ports_and_schedules_and_goes_to_them(quiet: Window, office: Scanner) -> None:
    page = quiet.page
    (agent,) = quiet.api("/agents")["items"]
    body = {"name": "Every night", "cron": "0 3 * * *", "agent_id": agent["id"]}
    made = page.context.request.post(
        f"{quiet.url}/api/v1/schedules",
        data={**body, "targets": [scanned.OFFICE]},
        headers={"Origin": quiet.url},
    )
    assert made.ok, made.text()
    page.goto("/agents")
    page.get_by_role("heading", level=1).wait_for()
    page.keyboard.press("Control+k")
    page.keyboard.type("22/tcp")
    ports = page.get_by_role("group", name="Ports").get_by_role("option")
    expect(ports.first).to_contain_text("22/tcp")
    where = ports.first.inner_text()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/hosts/[^/]+\?q=22$"))
    heading = page.get_by_role("heading", level=1)
    expect(heading).not_to_have_text("Host")  # which stands there until its name is known
    assert heading.inner_text() in where
    rows = page.get_by_role("table", name="Open ports").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("22/tcp")
    page.keyboard.press("Control+k")
    page.keyboard.type("every night")
    page.get_by_role("group", name="Schedules").get_by_role("option").click()
    expect(page).to_have_url(re.compile("/schedules"))
    expect(page.get_by_role("table", name="Schedules")).to_contain_text("Every night")


def test_why_a_schedule_is_refused_is_in_sight_on_a_phone(quiet: Window, office: Scanner) -> None:
    quiet.forgive("status of 409")
    page = quiet.page
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto("/schedules")
    page.get_by_role("button", name="Add a schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Every night")
    why = {"title": "Conflict", "status": 409, "detail": "it cannot be done, and at length " * 9}
    page.route("**/api/v1/schedules", lambda route: route.fulfill(status=409, json=why))
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_be_in_viewport(ratio=1)


def test_a_schedule_is_read_back_in_words_switched_off_and_deleted(
    quiet: Window, scanner: Scanner
) -> None:
    quiet.forgive("status of 422")
    page = quiet.page
    page.goto("/schedules")
    page.get_by_role("button", name="Add a schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Every night")
    when = dialog.get_by_label("When")
    when.fill("0 3 31 2 *")
    expect(dialog.get_by_role("alert")).to_contain_text("never")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("button", name="Add", exact=True)).to_be_enabled()
    expect(dialog.get_by_role("alert")).to_have_count(1)
    when.fill("30 2 * * *")
    expect(dialog).to_contain_text("At 02:30")
    when.fill("")
    expect(dialog).not_to_contain_text("At 02:30")
    when.fill("30 2 * * *")
    dialog.get_by_label("Time zone").fill("Europe/Nowhere")
    expect(dialog.get_by_role("alert")).to_contain_text("Europe/Nowhere")
    dialog.get_by_label("Time zone").fill("Europe/Berlin")
    expect(dialog).to_contain_text("At 02:30")
    expect(dialog.get_by_text(re.compile(r"Next: .+02:30; .+02:30; .+02:30"))).to_be_visible()
    dialog.get_by_label("Networks and addresses").fill(OFFICE)
    dialog.get_by_role("button", name="Add", exact=True).click()
    row = page.get_by_role("row").filter(has_text="Every night")
    expect(row).to_contain_text("Scan of 10.20.0.0/24")
    row.get_by_role("button", name="Switch off").click()
    expect(row).to_contain_text("Switched off")
    row.get_by_role("button", name="Change Every night").click()
    dialog.get_by_label("Name").fill("Every night at half past two")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Delete Every night at half past two").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No schedule yet")).to_be_visible()


def test_the_pages_of_scans_and_their_dialogs_have_no_violation(
    quiet: Window, office: Scanner
) -> None:
    if not AXE.is_file():
        pytest.skip(f"there is no {AXE}: cd web && npm ci")
    page = quiet.page
    ask_scan(page, OFFICE)
    run, _ = asked_of(office)
    office.tell(run, state="starting", lines=[line("It begins"), line("Slow", level="warning")])
    office.tell(run, state="running", phase="ports", done=3, total=9, remaining_s=40)
    nas = quiet.api("/hosts?q=nas")["items"][0]["id"]
    places = ["/hosts", f"/hosts/{nas}", "/services", "/services/openssh", "/containers", "/runs"]
    places += [f"/runs/{run}", "/schedules"]
    dialogs = {
        f"/hosts/{nas}": re.compile("Why"),
        "/runs": re.compile("Scan…"),
        "/schedules": re.compile("Add a schedule"),
        "/services": re.compile("^Search "),
    }
    found: dict[str, list[str]] = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for path in places:
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_attached()
            page.wait_for_timeout(700)
            found[f"{path}, {scheme}"] = violations(quiet, AXE.read_text())
            if path in dialogs:
                page.get_by_role("button", name=dialogs[path]).first.click()
                page.wait_for_timeout(500)
                found[f"{path} with its dialog, {scheme}"] = violations(quiet, AXE.read_text())
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_a_viewer_is_offered_no_scan_and_no_schedule(quiet: Window, scanner: Scanner) -> None:
    page = quiet.page
    page.route("**/api/v1/session", lambda route: route.fulfill(json=as_viewer(route.fetch())))
    page.goto("/runs")
    expect(page.get_by_text("No run yet")).to_be_visible()
    expect(page.get_by_role("button", name="Scan…")).to_have_count(0)
    page.goto("/schedules")
    expect(page.get_by_text("No schedule yet")).to_be_visible()
    expect(page.get_by_role("button", name="Add a schedule")).to_have_count(0)


def as_viewer(answer: Any) -> Any:
    said = answer.json()
    return {**said, "user": {**said["user"], "role": "viewer"}}


def test_containers_are_listed_by_project_with_what_runs_in_them(quiet: Window) -> None:
    page = quiet.page
    reports = sample.site(office=0, servers=1, lab=0)
    sample.send(quiet.url, agent_key(page, quiet.url), reports, bad=False)
    page.goto("/containers")
    rows = page.get_by_role("table", name="Containers").locator("tbody tr")
    expect(rows.first).to_be_visible()
    names = [row.get_by_role("rowheader").inner_text() for row in rows.all()]
    assert names == sorted(names)
    expect(rows.filter(has_text="shop-web-1")).to_contain_text("nginx")
    expect(rows.filter(has_text="shop-web-1").get_by_role("link", name="app-01")).to_be_visible()
    rows.filter(has_text="shop-web-1").get_by_role("button", name=re.compile("Why")).click()
    expect(page.get_by_role("dialog")).to_contain_text("Container image")
