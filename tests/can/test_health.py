from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.can import health, recover
from mooring.model.can import FoundRule, Health
from tests.can.fakes import HOST
from tests.can.plugin import Plugin

LOADED = {"can-gw": True}


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def look(plugin: Plugin, modules: Mapping[str, bool] = LOADED, handled: int = 0) -> Health:
    links = list(plugin.world.links[HOST].values())
    book = plugin.journal
    how = recover.conditions(book.endpoints.values(), links, plugin.world.lives, plugin.now)
    rules = [FoundRule(rule, handled=handled, dropped=1) for rule in plugin.world.rules]
    return health.check(book.networks, book.endpoints, links, rules, modules, how)


def said(found: Health) -> list[str]:
    return [f"{one.weight}: {one.subject}: {one.what}" for one in found.findings]


def test_a_bus_that_is_in_order_is_well(plugin: Plugin) -> None:
    bus = plugin.network()
    plugin.start(bus), plugin.start(bus)
    found = look(plugin)
    assert found.well
    assert said(found) == []
    (one,) = found.buses
    assert (one.device, one.up, one.rules_wanted, one.rules_present) == ("vcan0", True, 12, 12)


def test_traffic_is_told_from_the_counters_of_an_endpoints_rules(plugin: Plugin) -> None:
    bus = plugin.network()
    plugin.start(bus), plugin.start(bus)
    one = look(plugin, handled=10).buses[0].endpoints[0]
    # Into it from the host and from the other, and out of it, each in two types of frame.
    assert (one.received, one.sent, one.dropped) == (40, 20, 6)


def test_each_thing_that_is_wrong_is_named_with_what_to_do(plugin: Plugin) -> None:
    bus = plugin.network()
    down, gone, dead = plugin.start(bus), plugin.start(bus), plugin.start(bus)
    links = plugin.world.links[HOST]
    links[down.end.index] = replace(down.end, up=False)
    plugin.world.remove(gone.end.index)
    dead.die()
    plugin.world.rules.append(plugin.world.rules[0])
    del plugin.world.rules[1]
    found = look(plugin)
    assert not found.well
    assert said(found) == [
        f"error: endpoint {down.endpoint[:12]}: {down.end.name} is down",
        f"error: endpoint {gone.endpoint[:12]}: its interfaces are missing",
        f"warning: endpoint {dead.endpoint[:12]}: its container is gone",
        "error: vcan0: 1 rules missing",
        "error: vcan0: 1 rules too many",
    ]
    assert all(one.remedy for one in found.findings)


def test_a_missing_bus_is_an_error_and_its_remedy_depends_on_what_it_was(plugin: Plugin) -> None:
    plugin.world.add("can0", "can")
    plugin.network(vxcan__dev="can")
    plugin.network()
    plugin.world.links[HOST].clear()
    remedies = [one.remedy for one in look(plugin).findings]
    assert remedies == [
        "plug it in and see that its driver is loaded",
        "run `sudo mooring can repair`",
    ]


def test_a_controller_that_is_bus_off_or_has_another_bit_rate_is_named(plugin: Plugin) -> None:
    link = plugin.world.add("can0", "can", up=False)
    plugin.network(vxcan__dev="can", bitrate="500000")
    plugin.world.links[HOST][link.index] = replace(link, up=True, state=3, bitrate=250000)
    assert said(look(plugin)) == [
        "error: can0: the controller is bus-off",
        "error: can0: bitrate 250000 where 500000 is asked for",
    ]


def test_without_can_gw_the_remedy_is_told_and_weighs_once_something_is_wired(
    plugin: Plugin,
) -> None:
    bus = plugin.network()
    without = look(plugin, {"can-gw": False})
    assert without.well
    assert without.findings[0].remedy == "run `modprobe can-gw`"
    plugin.start(bus)
    assert not look(plugin, {"can-gw": False}).well


def test_what_is_ours_and_unknown_is_warned_of(plugin: Plugin) -> None:
    bus = plugin.network()
    container = plugin.endpoint(bus)
    plugin.journal.drop_endpoints(container.endpoint)
    assert "belongs to nothing that is known" in said(look(plugin))[0]
