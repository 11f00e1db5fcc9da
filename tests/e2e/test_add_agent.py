"""S6 on the page: where the network of an agent can be chosen, and where it cannot, and why."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Window
from tests.e2e.links import Forwarder
from tests.e2e.people import post

BOUND = "This agent’s key is for the network home."


@pytest.fixture
def sites(quiet: Window) -> Window:
    """A window on a server with two networks, at its agents."""
    post(quiet, "networks", {"name": "office"})
    quiet.page.goto("/agents")
    return quiet


def add(page: Page, name: str) -> str:
    """Add an agent in the dialog, which stays open; the key in its command."""
    page.get_by_role("button", name="Add agent").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make key").click()
    command = page.get_by_role("dialog").locator("code").inner_text()
    found = re.match(r"MOORING_KEY=(mooring_\S+)\s+mooring agent --server (\S+)", command)
    assert found, command
    return found[1]


def test_before_there_is_a_key_the_network_of_a_new_agent_can_be_chosen(sites: Window) -> None:
    page = sites.page
    page.get_by_role("button", name="Add agent").click()
    network = page.get_by_role("dialog").get_by_label("Network")
    expect(network).to_be_enabled()
    expect(page.get_by_text(BOUND)).to_have_count(0)
    network.select_option("office")
    page.get_by_label("Name").fill("nas")
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("This agent’s key is for the network office.")).to_be_visible()
    (agent,) = sites.api("/agents")["items"]
    (office,) = (n for n in sites.api("/networks")["items"] if n["name"] == "office")
    assert (agent["name"], agent["network_id"]) == ("nas", office["id"])


def test_once_the_key_is_made_the_network_is_fixed_and_the_dialog_says_why(
    sites: Window,
) -> None:
    page = sites.page
    add(page, "nas")
    network = page.get_by_role("dialog").get_by_label("Network")
    expect(network).to_be_disabled()
    expect(network).to_have_accessible_description(re.compile(BOUND))
    expect(page.get_by_text(BOUND)).to_be_visible()


def test_the_dialog_says_that_the_agent_is_here_as_soon_as_it_is(sites: Window) -> None:
    page = sites.page
    key = add(page, "nas")
    expect(page.get_by_text("Waiting for the agent…")).to_be_visible()
    Forwarder(sites.url, key, name="nas-0815").poll()
    expect(page.get_by_text("nas is here.")).to_be_visible()
    page.get_by_role("button", name="Done").click()
    (agent,) = sites.api("/agents")["items"]
    assert (agent["name"], agent["state"], agent["key_count"]) == ("nas", "online", 1)
    expect(page.get_by_role("article", name="nas")).to_contain_text("Online")


def test_an_agent_with_a_key_cannot_be_moved_and_the_dialog_says_why(sites: Window) -> None:
    page = sites.page
    add(page, "nas")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("article", name="nas")).to_contain_text("Not heard of yet")
    page.get_by_role("button", name="Edit… nas").click()
    network = page.get_by_role("dialog").get_by_label("Network")
    expect(network).to_be_disabled()
    expect(network).to_have_accessible_description(re.compile(BOUND))
    (agent,) = sites.api("/agents")["items"]
    (office,) = (n for n in sites.api("/networks")["items"] if n["name"] == "office")
    answer = sites.context.request.patch(
        f"{sites.url}/api/v1/agents/{agent['id']}",
        data={"network_id": office["id"]},
        headers={"Origin": sites.url},
    )
    assert answer.status == 409
    assert "nas has a key for the network home" in answer.json()["detail"]
    assert "before moving the agent to office" in answer.json()["detail"]


def test_an_agent_without_a_key_is_moved_and_gets_a_key_of_its_new_network(
    sites: Window,
) -> None:
    page = sites.page
    key = add(page, "nas")
    Forwarder(sites.url, key, name="nas").poll()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Edit… nas").click()
    dialog = page.get_by_role("dialog", name="Edit nas")
    network = dialog.get_by_label("Network")
    expect(network).to_be_disabled()
    dialog.get_by_role("button", name="Revoke… nas").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    # The dialog notices by itself that the last key is gone.
    expect(network).to_be_enabled()
    expect(page.get_by_text(BOUND)).to_have_count(0)
    network.select_option("office")
    expect(dialog.get_by_role("button", name="Make a key")).to_be_disabled()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("No agent yet")).to_be_visible()
    page.get_by_label("Network").select_option("office")
    page.get_by_role("button", name="Edit… nas").click()
    expect(network).to_be_enabled()
    dialog.get_by_role("button", name="Make a key").click()
    expect(network).to_be_disabled()
    expect(dialog).to_contain_text("This agent’s key is for the network office.")
    expect(dialog.locator("code")).to_contain_text("MOORING_KEY=mooring_")
