"""What the pages show of this machine, compared with what the API says."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Window

HUB = [0x25, 0x63, 0xC9]
"""The colour of a LAN's hub in the light theme."""

COUNT_PIXELS = """async ([png, [r, g, b]]) => {
  const answer = await fetch(`data:image/png;base64,${png}`)
  const image = await createImageBitmap(await answer.blob())
  const canvas = new OffscreenCanvas(image.width, image.height)
  const context = canvas.getContext('2d')
  context.drawImage(image, 0, 0)
  const { data } = context.getImageData(0, 0, image.width, image.height)
  let count = 0
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] === r && data[i + 1] === g && data[i + 2] === b) count++
  }
  return count
}"""


def pixels(page: Page, png: bytes, colour: list[int]) -> int:
    """How many of a picture's pixels have the colour; counted on a page that may load anything."""
    blank = page.context.new_page()
    blank.goto("about:blank")
    count: int = blank.evaluate(COUNT_PIXELS, [base64.b64encode(png).decode(), colour])
    blank.close()
    return count


def test_the_map_shows_this_machine_and_its_subnets(look: Window) -> None:
    page = look.page
    page.goto("/")
    picture = page.get_by_role("img", name=re.compile("Map of"))
    expect(picture).to_be_visible()
    (network,) = look.api("/networks")["items"]
    drawn = look.api(f"/map?network_id={network['id']}")
    assert drawn["hosts"]
    assert drawn["subnets"]
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("table", name="Subnets and hosts of the map")
    for node in [*drawn["hosts"], *drawn["subnets"]][:20]:
        expect(table.get_by_role("button", name=node["label"], exact=True)).to_be_visible()


def test_the_map_is_drawn(look: Window) -> None:
    page = look.page
    page.emulate_media(reduced_motion="reduce", color_scheme="light")
    page.goto("/")
    stage = page.get_by_role("img", name=re.compile("Map of"))
    expect(stage.locator("canvas")).not_to_have_count(0)
    page.wait_for_timeout(500)
    assert pixels(page, stage.screenshot(), HUB) > 50


def test_a_host_is_found_on_the_map_by_the_keyboard_alone(look: Window) -> None:
    page = look.page
    page.goto("/")
    host = look.api("/hosts")["items"][0]
    finder = page.get_by_role("combobox", name="Find something on the map")
    finder.focus()
    page.keyboard.type(host["name"])
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name=f"Details of {host['name']}")
    expect(panel).to_contain_text(host["addresses"][0])
    panel.get_by_role("link", name="Open the host").click()
    expect(page.get_by_role("heading", name=host["name"], level=1)).to_be_focused()


def test_the_table_and_the_picture_of_the_map_are_in_step(look: Window) -> None:
    page = look.page
    page.goto("/")
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("table", name="Subnets and hosts of the map")
    first = table.get_by_role("button").first
    name = first.inner_text()
    first.click()
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("complementary", name=f"Details of {name}")).to_be_visible()
    first.press("ArrowDown")
    expect(table.get_by_role("button").nth(1)).to_be_focused()
    page.get_by_role("button", name="Close the details").click()
    expect(first).to_have_attribute("aria-pressed", "false")


def test_a_kind_of_subnet_is_taken_off_the_map_and_put_back(look: Window) -> None:
    page = look.page
    page.goto("/")
    page.get_by_role("button", name="Table").click()
    rows = page.get_by_role("table", name="Subnets and hosts of the map").get_by_role("button")
    expect(rows.first).to_be_visible()
    all_of_them = rows.count()
    for box in page.get_by_role("group").get_by_role("checkbox").all():
        box.uncheck(force=True)
    hosts = look.api("/hosts")["total"]
    expect(rows).to_have_count(hosts)
    page.reload()
    expect(rows).to_have_count(hosts)
    for box in page.get_by_role("group").get_by_role("checkbox").all():
        box.check(force=True)
    expect(rows).to_have_count(all_of_them)


def test_a_host_in_the_table_leads_to_its_interfaces(look: Window) -> None:
    page = look.page
    page.goto("/hosts")
    host = look.api("/hosts")["items"][0]
    page.get_by_role("table", name="Hosts").get_by_role("link", name=host["name"]).click()
    expect(page).to_have_title(f"{host['name']} · Mooring")
    table = page.get_by_role("table", name="Interfaces")
    interfaces = look.api(f"/interfaces?host_id={host['id']}")["items"]
    assert interfaces
    for interface in interfaces:
        row = table.get_by_role("row").filter(
            has=page.get_by_role("rowheader", name=interface["name"], exact=True)
        )
        for address in interface["addresses"]:
            expect(row).to_contain_text(f"{address['ip']}/{address['prefix']}")
    routes = page.get_by_role("table", name="Routes")
    expected = look.api(f"/routes?host_id={host['id']}")["total"]
    if expected:
        expect(routes.locator("tbody tr")).to_have_count(min(expected, 25))
    agent = page.get_by_role("region", name="Agent")
    expect(agent).to_contain_text("Online")
    expect(agent).to_contain_text("Container engines")


def test_a_subnet_leads_to_its_hosts(look: Window) -> None:
    page = look.page
    page.goto("/subnets")
    subnet = look.api("/subnets?sort=cidr")["items"][0]
    page.get_by_role("link", name=subnet["cidr"], exact=True).first.click()
    expect(page.get_by_role("heading", name=subnet["cidr"], level=1)).to_be_visible()
    host = look.api("/hosts")["items"][0]
    expect(page.get_by_role("link", name=host["name"]).first).to_be_visible()


def test_sorting_and_searching_are_in_the_address_and_outlast_a_reload(look: Window) -> None:
    page = look.page
    page.goto("/subnets")
    header = page.get_by_role("columnheader", name="Kind")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(page).to_have_url(re.compile(r"sort=-kind"))
    page.get_by_role("searchbox").fill("no such subnet")
    expect(page.get_by_text("Nothing matches “no such subnet”")).to_be_visible()
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("no such subnet")
    page.get_by_role("button", name="Clear the search").click()
    expect(page.get_by_role("columnheader", name="Kind")).to_have_attribute(
        "aria-sort", "descending"
    )


def test_what_is_not_there_is_said_in_words(look: Window) -> None:
    look.forgive("status of 404")
    page = look.page
    page.goto("/hosts/00000000-0000-0000-0000-000000000000")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("there is no host")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()
    page.goto("/nowhere")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_a_person_names_a_host_and_gives_it_its_own_name_back(own: Window) -> None:
    page = own.page
    page.goto("/hosts")
    page.get_by_role("table", name="Hosts").get_by_role("link").first.click()
    expect(page.get_by_role("button", name="Rename")).to_be_visible()
    before = page.get_by_role("heading", level=1).inner_text()
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("dialog").get_by_label("Name").fill("the one in the cellar")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("the one in the cellar")
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("dialog").get_by_label("Name").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(before)


def test_a_second_network_appears_in_the_header_and_says_how_to_begin(own: Window) -> None:
    page = own.page
    page.goto("/")
    expect(page.get_by_role("img", name=re.compile("Map of"))).to_be_visible()
    expect(page.get_by_label("Network")).to_have_count(0)
    answer = own.context.request.post(
        f"{own.url}/api/v1/networks", data={"name": "the shed"}, headers={"Origin": own.url}
    )
    assert answer.ok, answer.text()
    page.get_by_label("Network").select_option("the shed")
    expect(page.get_by_text("No agent looks at this network yet")).to_be_visible()
    expect(page.get_by_text("mooring keys create --agent")).to_be_visible()
    page.get_by_role("link", name="Hosts").click()
    expect(page.get_by_text("No hosts yet")).to_be_visible()
    page.reload()
    expect(page.get_by_text("No hosts yet")).to_be_visible()
    page.get_by_label("Network").select_option("home")
    expect(page.get_by_role("table", name="Hosts")).to_be_visible()


@pytest.mark.parametrize(
    "path", ["/", "/hosts", "/services", "/subnets", "/runs", "/schedules", "/agents", "/timeline"]
)
def test_a_page_fits_a_phone(look: Window, path: str) -> None:
    page = look.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_attached()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    menu = page.get_by_role("navigation", name="Main")
    expect(menu.get_by_role("link")).to_have_count(4)
    menu.get_by_role("button", name="More").click()
    menu.get_by_role("link", name="Agents").click()
    expect(page.get_by_role("heading", name="Agents")).to_be_visible()
    expect(menu.get_by_role("link")).to_have_count(4)


def test_the_theme_follows_the_system_until_one_is_chosen(look: Window) -> None:
    page = look.page
    root = page.locator("html")
    page.emulate_media(color_scheme="dark")
    page.goto("/hosts")
    expect(root).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("menuitemradio", name="As the system").click()
    expect(root).to_have_attribute("data-theme", "light")


def test_the_first_tab_skips_to_the_content(look: Window) -> None:
    page = look.page
    page.goto("/hosts")
    expect(page.get_by_role("heading", name="Hosts")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
