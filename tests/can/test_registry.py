"""Docker's networks against the journal's, and what is done about a difference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mooring.can import engine, registry
from mooring.can.registry import Registered
from tests.can.fakes import HOST
from tests.can.plugin import Plugin

DRIVER = "mooring-can"
OPTIONS = {"vxcan.dev": "vcan", "vxcan.id": "7", "vxcan.peer": "can"}
BUS = Registered("b" * 64, "bus7", DRIVER, OPTIONS)
BRIDGE = Registered("d" * 64, "bridge", "bridge", {"com.docker.network.bridge.name": "docker0"})


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "AGAIN", 0.0)


def differs(plugin: Plugin, *answers: Sequence[Registered] | None) -> registry.Difference | None:
    told = iter(answers)
    return engine.differs(lambda: plugin.journal.networks, DRIVER, lambda: next(told))


def test_docker_s_answer_is_read() -> None:
    raw = [
        {"Id": BUS.id, "Name": "bus7", "Driver": DRIVER, "Options": OPTIONS, "Scope": "local"},
        {"Id": "0" * 64, "Name": "none", "Driver": "null", "Options": None},
    ]
    bus, none = registry.registered(json.dumps(raw).encode())
    assert bus == BUS
    assert none.options == {}


@pytest.mark.parametrize(
    "driver", [DRIVER, "mooring-can:latest", "reg.example:5000/x/mooring-can:1"]
)
def test_a_network_that_docker_alone_has_is_taken_up_with_its_options(
    plugin: Plugin, driver: str
) -> None:
    told = [BRIDGE, Registered(BUS.id, BUS.name, driver, OPTIONS)]
    found = differs(plugin, told, told)
    assert found
    (finding,) = registry.findings(found)
    assert (finding.subject, finding.weight) == ("bus7", "error")
    assert engine.settle(found, lambda _: False, plugin.driver.answer).done == 1
    assert plugin.journal.networks[BUS.id].device == "vcan7"
    assert "vcan7" in [link.name for link in plugin.world.links[HOST].values()]
    assert not differs(plugin, told)


def test_a_network_that_docker_has_no_more_is_forgotten_if_nobody_is_on_it(plugin: Plugin) -> None:
    used, unused = plugin.network(), plugin.network(id="1")
    plugin.start(used)
    found = differs(plugin, [BRIDGE], [BRIDGE])
    assert found
    assert {one.id for one in found.orphaned} == {used, unused}
    assert ["no more" in one.what for one in registry.findings(found)] == [True, True]
    settled = engine.settle(found, lambda network: network.id == used, plugin.driver.answer)
    assert (settled.done, settled.failed) == (1, ())
    assert set(plugin.journal.networks) == {used}


def test_a_network_in_the_making_is_no_difference(plugin: Plugin) -> None:
    mine = plugin.network()
    listed = Registered(mine, "bus0", DRIVER, {})
    assert not differs(plugin, [BRIDGE], [BRIDGE, listed])
    assert not differs(plugin, [listed, BUS], [listed])


def test_where_no_docker_answers_nothing_is_known(plugin: Plugin) -> None:
    plugin.network()
    assert differs(plugin, None) is None
    assert differs(plugin, [], None) is None


def test_what_cannot_be_taken_up_is_told_and_holds_up_no_other(plugin: Plugin) -> None:
    bad = Registered("e" * 64, "bad", DRIVER, {"vxcan.dev": "a/b"})
    found = differs(plugin, [bad, BUS], [bad, BUS])
    assert found
    settled = engine.settle(found, lambda _: False, plugin.driver.answer)
    assert settled.done == 1
    assert "vxcan.dev" in settled.failed[0]


def test_an_engine_that_is_not_there_or_talks_nonsense_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    assert engine.networks() is None
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert engine.networks() is None
