from __future__ import annotations

from pathlib import Path

import pytest

from tests.can.plugin import Plugin


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def test_two_containers_and_the_host_are_joined_by_a_mesh(plugin: Plugin) -> None:
    bus = plugin.network()
    one, two = plugin.start(bus), plugin.start(bus)
    assert len(plugin.world.rules) == 2 * 2 * 3
    vcan = plugin.world.named("vcan0")
    assert vcan is not None
    assert plugin.world.hears(vcan.index) == sorted([one.end.index, two.end.index])
    assert plugin.world.hears(one.end.index) == sorted([vcan.index, two.end.index])


def test_nothing_is_left_when_all_is_undone_in_order(plugin: Plugin) -> None:
    bus = plugin.network()
    container = plugin.start(bus)
    container.stop()
    plugin.delete_network(bus)
    assert plugin.world.links == {"": {}}
    assert plugin.world.rules == []
    assert not plugin.journal.networks
    assert not plugin.journal.endpoints
