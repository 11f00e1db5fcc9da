"""The driver's verbs on a kernel that is a model: what is expected of each case, good and bad."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.can import filters, names, recover
from mooring.can.kernel import KernelError
from mooring.can.options import BadOption
from mooring.core.errors import MooringError
from mooring.model.can import DriverTotals, Endpoint, EndpointState, Recovered, Rule
from tests.can.fakes import HOST
from tests.can.plugin import Container, Plugin

ECHO, FD = 1, 8


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def bus_index(plugin: Plugin, device: str = "vcan0") -> int:
    link = plugin.world.named(device)
    assert link is not None
    return link.index


# --- how it should go


def test_two_containers_and_the_host_are_joined_by_a_mesh(plugin: Plugin) -> None:
    bus = plugin.network()
    one, two = plugin.start(bus), plugin.start(bus)
    vcan = bus_index(plugin)
    assert len(plugin.world.rules) == 2 * 2 * 3
    assert plugin.world.hears(vcan) == sorted([one.end.index, two.end.index])
    assert plugin.world.hears(one.end.index) == sorted([vcan, two.end.index])
    assert all(rule.hops == 1 for rule in plugin.world.rules)
    assert all(bool(r.flags & ECHO) == (r.target == vcan) for r in plugin.world.rules)


def test_nothing_is_left_when_all_is_undone_in_order(plugin: Plugin) -> None:
    bus = plugin.network()
    container = plugin.start(bus)
    container.stop()
    plugin.delete_network(bus)
    assert plugin.world.links == {HOST: {}}
    assert plugin.world.rules == []
    assert not plugin.journal.networks
    assert not plugin.journal.endpoints


def test_the_answer_to_join_keeps_docker_from_adding_an_ethernet(plugin: Plugin) -> None:
    container = plugin.endpoint(plugin.network(vxcan__peer="can"))
    answer = container.join()
    assert answer["DisableGatewayService"] is True
    assert answer["InterfaceName"]["DstPrefix"] == "can"
    assert plugin.world.named(answer["InterfaceName"]["SrcName"]) is not None


def test_the_defaults_are_those_of_rustycan4docker(plugin: Plugin) -> None:
    answer = plugin.endpoint(plugin.network()).join()
    assert plugin.world.named("vcan0")
    assert answer["InterfaceName"]["DstPrefix"] == "vcanp"


def test_the_peer_of_an_endpoint_wins_over_the_networks(plugin: Plugin) -> None:
    container = plugin.endpoint(plugin.network(vxcan__peer="can"), vxcan__peer="brake")
    assert container.join()["InterfaceName"]["DstPrefix"] == "brake"


def test_a_name_that_docker_asks_for_is_sent_beside_the_prefix(plugin: Plugin) -> None:
    bus = plugin.network(vxcan__peer="can")
    container = plugin.endpoint(bus, com__docker__network__endpoint__ifname="body")
    assert container.join()["InterfaceName"]["DstName"] == "body"
    assert container.answer["InterfaceName"]["DstPrefix"] == "can"


def test_endpoint_info_names_the_interface_on_the_host(plugin: Plugin) -> None:
    container = plugin.start(plugin.network())
    told = plugin.call("EndpointOperInfo", network=container.network, endpoint=container.endpoint)
    assert told["Value"] == {"HostInterface": container.end.name, "Bus": "vcan0"}


def test_discovery_and_capabilities_are_answered(plugin: Plugin) -> None:
    assert plugin.call("DiscoverNew") == plugin.call("DiscoverDelete") == {}
    assert plugin.call("Activate") == {"Implements": ["NetworkDriver"]}
    assert plugin.call("GetCapabilities")["Scope"] == "local"


# --- options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"vxcan__dev": "averylongdevice", "vxcan__id": "0"}, "vxcan.dev"),
        ({"vxcan__dev": "a/b"}, "vxcan.dev"),
        ({"vxcan__id": "one"}, "vxcan.id"),
        ({"vxcan__id": "-1"}, "vxcan.id"),
        ({"vxcan__id": "99999999999999999999"}, "vxcan.id"),
        ({"vxcan__peer": "fourteenletter"}, "vxcan.peer"),
        ({"vxcan__peer": "a/b"}, "vxcan.peer"),
        ({"vxcan__peer": "a b"}, "vxcan.peer"),
        ({"vxcan__access": "rx"}, "vxcan.access"),
        ({"vxcan__filter": "12x"}, "vxcan.filter"),
        ({"vxcan__filter": "100:700,123:7FF"}, "vxcan.filter"),
        ({"bitrate": "fast"}, "bitrate"),
        ({"dbitrate": "2000000"}, "dbitrate"),
        ({"bitrate": "500000", "dbitrate": "2000000", "fd": "false"}, "dbitrate"),
        ({"fd": "perhaps"}, "fd"),
        ({"restart_ms": "-5"}, "restart_ms"),
        ({"txqueuelen": "0"}, "txqueuelen"),
        ({"vxcan__pear": "can"}, "vxcan.pear"),
        ({"bitrat": "500000"}, "bitrat"),
    ],
)
def test_a_bad_option_is_named_with_what_was_expected_and_nothing_is_left(
    plugin: Plugin, options: dict[str, object], named: str
) -> None:
    with pytest.raises(BadOption, match=named.replace(".", r"\.")) as raised:
        plugin.network(**options)
    assert "it should be" in raised.value.why
    assert plugin.world.links == {HOST: {}}
    assert not plugin.journal.networks


def test_the_limit_of_15_characters_is_named(plugin: Plugin) -> None:
    with pytest.raises(BadOption, match="at most 15 characters"):
        plugin.network(vxcan__dev="fourteenletter", vxcan__id="12")


def test_a_bad_option_of_an_endpoint_leaves_no_interface(plugin: Plugin) -> None:
    bus = plugin.network()
    with pytest.raises(BadOption, match=r"vxcan\.peer"):
        plugin.endpoint(bus, vxcan__peer="a/b")
    assert [link.name for link in plugin.world.links[HOST].values()] == ["vcan0"]


def test_options_of_others_are_none_of_ours(plugin: Plugin) -> None:
    plugin.network(com__example__team="brakes")


# --- access and filters


def test_a_listener_hears_all_and_cannot_send(plugin: Plugin) -> None:
    bus = plugin.network()
    app, logger = plugin.start(bus), plugin.start(bus, vxcan__access="ro")
    assert plugin.world.hears(logger.end.index) == []
    assert logger.end.index in plugin.world.hears(app.end.index)
    assert logger.end.index in plugin.world.hears(bus_index(plugin))


def test_a_sender_hears_nothing(plugin: Plugin) -> None:
    bus = plugin.network()
    app, sender = plugin.start(bus), plugin.start(bus, vxcan__access="wo")
    assert not [r for r in plugin.world.rules if r.target == sender.end.index]
    assert plugin.world.hears(sender.end.index) == sorted([app.end.index, bus_index(plugin)])


def test_an_endpoint_may_differ_from_its_network(plugin: Plugin) -> None:
    bus = plugin.network(vxcan__access="ro")
    logger, app = plugin.start(bus), plugin.start(bus, vxcan__access="rw")
    assert plugin.world.hears(logger.end.index) == []
    assert plugin.world.hears(app.end.index) != []


def test_each_filter_is_a_rule_for_each_type_of_frame(plugin: Plugin) -> None:
    container = plugin.start(plugin.network(), vxcan__filter="123:C00007FF,18FF0000:9FFF0000")
    passing = {r.filter for r in plugin.world.rules if r.target == container.end.index}
    assert passing == set(filters.parse("123:C00007FF,18FF0000:9FFF0000"))
    assert len([r for r in plugin.world.rules if r.target == container.end.index]) == 4


def test_errors_of_the_bus_come_to_those_who_ask(plugin: Plugin) -> None:
    bus = plugin.network()
    told, untold = plugin.start(bus, errframes="true"), plugin.start(bus)
    targets = [r.target for r in plugin.world.rules if r.filter == filters.ERRORS]
    assert targets == [told.end.index]
    assert untold.end.index not in targets


# --- devices


def test_a_physical_device_is_used_and_never_deleted_or_downed(plugin: Plugin) -> None:
    plugin.world.add("can0", "can", bitrate=500000)
    bus = plugin.network(vxcan__dev="can", bitrate="500000")
    plugin.start(bus).stop()
    plugin.delete_network(bus)
    device = plugin.world.named("can0")
    assert device is not None
    assert device.up


def test_a_physical_device_that_comes_late_is_waited_for(plugin: Plugin) -> None:
    plugin.world.arrives = lambda name: plugin.world.add(name, "can") and None
    plugin.network(vxcan__dev="can")
    device = plugin.world.named("can0")
    assert device is not None
    assert device.kind == "can"


def test_a_physical_device_that_does_not_come_is_an_error_and_no_vcan(plugin: Plugin) -> None:
    with pytest.raises(MooringError, match="did not come within 10 s"):
        plugin.network(vxcan__dev="can")
    assert plugin.world.named("can0") is None
    assert not plugin.journal.networks


def test_a_physical_device_that_is_gone_after_a_reboot_is_no_vcan_then(plugin: Plugin) -> None:
    plugin.world.add("adapter0", "can")
    bus = plugin.network(vxcan__dev="adapter")
    plugin.reboot()
    plugin.world.links[HOST].clear()
    with pytest.raises(MooringError, match="using the CAN device adapter0"):
        plugin.endpoint(bus)
    assert plugin.world.named("adapter0") is None


def test_a_device_that_is_down_is_set_up_with_its_bit_rate(plugin: Plugin) -> None:
    plugin.world.add("can0", "can", up=False)
    plugin.network(
        vxcan__dev="can", bitrate="500000", dbitrate="2000000", restart_ms="100", txqueuelen="1000"
    )
    device = plugin.world.named("can0")
    assert device is not None
    assert (device.up, device.bitrate, device.dbitrate) == (True, 500000, 2000000)
    assert (device.restart_ms, device.txqueuelen) == (100, 1000)


def test_a_device_that_is_down_without_a_bit_rate_is_warned_of_or_refused(plugin: Plugin) -> None:
    plugin.world.add("can0", "can", up=False)
    plugin.network(vxcan__dev="can")
    assert "device_down" in plugin.log.getvalue()
    with pytest.raises(MooringError, match="it is down"):
        plugin.network(vxcan__dev="can", vxcan__if_down="error")
    device = plugin.world.named("can0")
    assert device is not None
    assert not device.up


def test_a_device_that_is_up_with_another_bit_rate_is_not_set_down(plugin: Plugin) -> None:
    plugin.world.add("can0", "can", bitrate=250000)
    with pytest.raises(MooringError, match="bitrate 250000 where 500000 is asked for") as raised:
        plugin.network(vxcan__dev="can", bitrate="500000")
    assert "ip link set can0 down" in raised.value.remedy
    device = plugin.world.named("can0")
    assert device is not None
    assert device.up


def test_a_device_that_is_not_can_is_refused(plugin: Plugin) -> None:
    plugin.world.add("eth0", "", can=False)
    with pytest.raises(MooringError, match="eth0 is there and is no CAN interface"):
        plugin.network(vxcan__dev="eth")


def test_a_vcan_of_somebody_else_is_used_and_never_deleted(plugin: Plugin) -> None:
    plugin.world.add("vcan0")
    bus = plugin.network()
    plugin.start(bus).stop()
    plugin.delete_network(bus)
    assert plugin.world.named("vcan0") is not None


def test_two_networks_on_one_device_are_one_bus_until_the_last_is_deleted(plugin: Plugin) -> None:
    first, second = plugin.network(), plugin.network()
    one, two = plugin.start(first), plugin.start(second)
    assert two.end.index in plugin.world.hears(one.end.index)
    one.stop()
    plugin.delete_network(first)
    assert plugin.world.hears(two.end.index) == [bus_index(plugin)]
    two.stop()
    plugin.delete_network(second)
    assert plugin.world.named("vcan0") is None


def test_two_networks_that_want_different_bit_rates_of_a_device_are_refused(plugin: Plugin) -> None:
    plugin.world.add("can0", "can", up=False)
    first = plugin.network(vxcan__dev="can", bitrate="500000")
    with pytest.raises(BadOption, match=first[:12]):
        plugin.network(vxcan__dev="can", bitrate="250000")


# --- the same again, and what is unknown


def test_a_network_that_is_deleted_takes_its_endpoints_along(plugin: Plugin) -> None:
    bus = plugin.network()
    plugin.start(bus)
    plugin.endpoint(bus)
    plugin.delete_network(bus)
    assert plugin.world.links[HOST] == {}
    assert not plugin.journal.endpoints
    plugin.delete_network(bus)


def test_deleting_what_is_unknown_is_done(plugin: Plugin) -> None:
    unknown = Container(plugin, next(plugin.ids), next(plugin.ids))
    assert plugin.call("DeleteNetwork", network=unknown.network) == {}
    unknown.stop()


def test_an_unknown_network_is_named_with_the_remedy(plugin: Plugin) -> None:
    unknown = next(plugin.ids)
    with pytest.raises(MooringError, match=unknown[:12]) as raised:
        plugin.endpoint(unknown)
    assert "docker network rm" in raised.value.remedy
    with pytest.raises(MooringError, match=unknown[:12]):
        Container(plugin, unknown, next(plugin.ids)).join()


def test_creating_and_joining_twice_changes_nothing(plugin: Plugin) -> None:
    bus = plugin.network()
    container = plugin.start(bus)
    before = (list(plugin.world.rules), {**plugin.world.links[HOST]})
    plugin.call("CreateEndpoint", network=bus, endpoint=container.endpoint)
    first = container.answer
    assert container.join() == first
    assert (plugin.world.rules, plugin.world.links[HOST]) == before
    plugin.network(bus)
    assert (plugin.world.rules, plugin.world.links[HOST]) == before


def test_an_endpoint_that_joins_without_having_been_created_is_made(plugin: Plugin) -> None:
    container = Container(plugin, plugin.network(), next(plugin.ids))
    container.join()
    container.enter()
    assert plugin.world.hears(container.end.index) == [bus_index(plugin)]
    assert plugin.driver.buses.recovered[Recovered.ENDPOINT] == 1


def test_many_containers_that_start_at_once_make_no_error_and_no_duplicate(plugin: Plugin) -> None:
    bus = plugin.network()
    with ThreadPoolExecutor(16) as pool:
        started = list(pool.map(lambda _: plugin.start(bus), range(16)))
    assert len(plugin.world.rules) == len(set(plugin.world.rules)) == 2 * 16 * 17
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(Container.stop, started))
    assert plugin.world.rules == []


def test_a_peer_that_is_not_there_is_skipped_with_a_warning_and_wired_at_its_join(
    plugin: Plugin,
) -> None:
    bus = plugin.network()
    missing, other = plugin.start(bus), plugin.endpoint(bus)
    plugin.world.remove(missing.end.index)
    plugin.world.links[missing.sandbox] = {}
    other.join()
    assert "it is wired when it joins" in plugin.log.getvalue()
    missing.join()
    assert other.end.index in plugin.world.hears(missing.end.index)


def test_an_id_that_begins_like_another_gets_a_longer_name(plugin: Plugin) -> None:
    bus = plugin.network()
    first, second = ("deadbeef00" + end * 54 for end in "12")
    for endpoint in (first, second):
        plugin.call("CreateEndpoint", network=bus, endpoint=endpoint)
    found = recover.pairs(plugin.world.links[HOST].values())
    assert (found[first].name, found[second].name) == ("vxdeadbeef00", "vxdeadbeef00222")


def test_an_interface_of_somebody_else_with_our_names_is_named_in_the_error(plugin: Plugin) -> None:
    bus = plugin.network()
    for name in ("vxdeadbeef00", "vydeadbeef00111"):
        plugin.world.add(name, "vxcan")
    with pytest.raises(MooringError, match="vydeadbeef00111 is there already"):
        plugin.call("CreateEndpoint", network=bus, endpoint="deadbeef00" + "1" * 54)


# --- reboots and other changes


def test_containers_come_back_after_a_reboot_with_new_endpoints_and_no_other_call(
    plugin: Plugin,
) -> None:
    bus = plugin.network()
    for _ in range(3):
        plugin.start(bus)
    plugin.reboot()
    new = [plugin.endpoint(bus) for _ in range(3)]
    for container in reversed(new):
        container.join()
        container.enter()
    assert len(plugin.world.rules) == 2 * 3 * 4
    assert set(plugin.journal.endpoints) == {one.endpoint for one in new}
    assert plugin.driver.buses.recovered[Recovered.DEVICE] == 1


def test_a_plugin_that_starts_after_a_reboot_mends_without_being_asked(plugin: Plugin) -> None:
    plugin.network()
    plugin.reboot()
    assert plugin.driver.buses.mend() == 1
    device = plugin.world.named("vcan0")
    assert device is not None
    assert names.is_bus_mark(device.alias)
    assert plugin.driver.buses.mend() == 0


def test_without_recovery_a_missing_device_fails_at_once(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, recover=False)
    bus = plugin.network()
    plugin.reboot()
    with pytest.raises(MooringError, match="it is not there any more"):
        plugin.endpoint(bus)
    assert plugin.world.links == {HOST: {}}


def test_without_recovery_an_unknown_endpoint_and_a_missing_pair_fail_at_once(
    tmp_path: Path,
) -> None:
    plugin = Plugin(tmp_path, recover=False)
    bus = plugin.network()
    with pytest.raises(MooringError, match="it is not known"):
        Container(plugin, bus, next(plugin.ids)).join()
    container = plugin.endpoint(bus)
    plugin.world.remove(container.end.index)
    with pytest.raises(MooringError, match="its interfaces are gone"):
        container.join()


def test_everything_that_is_missing_at_join_is_made(plugin: Plugin) -> None:
    bus = plugin.network()
    container = plugin.endpoint(bus)
    plugin.world.links[HOST].clear()
    plugin.journal.drop_endpoints(container.endpoint)
    container.join()
    container.enter()
    assert plugin.world.hears(container.end.index) == [bus_index(plugin)]
    assert {Recovered.DEVICE, Recovered.ENDPOINT, Recovered.PAIR} <= set(
        plugin.driver.buses.recovered
    )


def test_a_bus_that_was_deleted_by_hand_is_wired_again_at_the_next_join(plugin: Plugin) -> None:
    bus = plugin.network()
    one = plugin.start(bus)
    plugin.world.remove(bus_index(plugin))
    two = plugin.start(bus)
    assert plugin.world.hears(one.end.index) == sorted([bus_index(plugin), two.end.index])
    assert plugin.driver.buses.recovered[Recovered.RULES] == 1


def test_a_pair_that_was_deleted_by_hand_is_put_back_into_its_container_by_repair(
    plugin: Plugin,
) -> None:
    bus = plugin.network(vxcan__peer="can")
    one, two = plugin.start(bus), plugin.start(bus)
    plugin.world.remove(one.end.index)
    assert plugin.world.named("can0", one.sandbox) is None
    plugin.call("Repair")
    assert plugin.world.named("can0", one.sandbox) is not None
    assert one.end.index in plugin.world.hears(two.end.index)


def test_an_adapter_that_was_pulled_and_plugged_in_is_set_up_and_wired_again(
    plugin: Plugin,
) -> None:
    plugin.world.add("can0", "can", up=False)
    bus = plugin.network(vxcan__dev="can", bitrate="500000")
    container = plugin.start(bus)
    before = plugin.driver.buses.devices()
    plugin.world.remove(bus_index(plugin, "can0"))
    gone = plugin.driver.buses.mend_returned(before)
    assert gone == {}
    plugin.world.add("can0", "can", up=False)
    now = plugin.driver.buses.mend_returned(gone)
    device = plugin.world.named("can0")
    assert device is not None
    assert (device.up, device.bitrate) == (True, 500000)
    assert plugin.world.hears(container.end.index) == [device.index]
    calls = plugin.world.calls
    plugin.driver.buses.mend_returned(now)
    assert plugin.world.calls == calls + 1


def test_endpoints_of_a_docker_that_was_restarted_by_force_are_forgotten(plugin: Plugin) -> None:
    bus = plugin.network()
    old = plugin.start(bus)
    old.die()
    new = plugin.start(bus)
    assert set(plugin.journal.endpoints) == {new.endpoint}


def test_who_joins_a_bus_that_is_in_order_has_nobody_else_s_rules_looked_at(
    plugin: Plugin,
) -> None:
    bus = plugin.network()
    one, two = plugin.start(bus), plugin.endpoint(bus)
    seen: list[str] = []
    plugin.world.refuse = lambda name: seen.append(name) or 0
    two.join()
    assert "rules" not in seen
    assert plugin.world.hears(two.end.index) == sorted([bus_index(plugin), one.end.index])
    two.join()
    assert "rules" in seen
    assert len(plugin.world.rules) == 2 * 2 * 3


def test_the_first_join_of_a_process_puts_all_rules_of_the_bus_in_order(plugin: Plugin) -> None:
    bus = plugin.network()
    plugin.start(bus)
    plugin.world.rules.pop()
    plugin.restart()
    plugin.start(bus)
    assert len(plugin.world.rules) == 2 * 2 * 3


def test_silence_tears_nothing_down(plugin: Plugin) -> None:
    bus = plugin.network()
    container = plugin.start(bus)
    rules = list(plugin.world.rules)
    plugin.now += 1e6
    plugin.restart()
    plugin.driver.buses.mend()
    assert plugin.world.rules == rules
    assert container.endpoint in plugin.journal.endpoints


def test_rules_that_are_stale_or_double_are_removed_and_those_of_others_are_not(
    plugin: Plugin,
) -> None:
    foreign = plugin.world.add("vcan7")
    elsewhere = plugin.world.add("vcan8")
    bus = plugin.network()
    one = plugin.start(bus)
    vcan = bus_index(plugin)
    wanted = list(plugin.world.rules)
    others = [Rule(foreign.index, elsewhere.index, 0), Rule(one.end.index, foreign.index, 0, 0)]
    plugin.world.rules += [*others, wanted[0], Rule(vcan, one.end.index, 0, 0)]
    plugin.call("Repair")
    assert sorted(plugin.world.rules, key=repr) == sorted([*wanted, *others], key=repr)


def test_leave_takes_the_rules_and_the_pair_goes_with_the_endpoint(plugin: Plugin) -> None:
    bus = plugin.network()
    container = plugin.start(bus)
    plugin.call("Leave", network=bus, endpoint=container.endpoint)
    assert plugin.world.rules == []
    assert plugin.world.named(container.end.name) is not None
    plugin.world.bring_back(container.sandbox)
    plugin.call("DeleteEndpoint", network=bus, endpoint=container.endpoint)
    assert [link.name for link in plugin.world.links[HOST].values()] == ["vcan0"]


def test_an_interface_that_is_down_is_set_up_by_repair(plugin: Plugin) -> None:
    container = plugin.start(plugin.network())
    for link in list(plugin.world.links[HOST].values()):
        plugin.world.links[HOST][link.index] = replace(link, up=False)
    plugin.call("Repair")
    assert container.end.up
    assert all(link.up for link in plugin.world.links[HOST].values())


# --- what the machine cannot or may not


def test_without_can_gw_a_join_says_how_to_load_it_and_leaves_nothing(plugin: Plugin) -> None:
    bus = plugin.network()
    plugin.world.gateway = False
    container = plugin.endpoint(bus)
    with pytest.raises(MooringError) as raised:
        container.join()
    assert "can-gw is not loaded: run `modprobe can-gw`" in str(raised.value)
    assert plugin.journal.endpoints[container.endpoint].state is EndpointState.CREATED
    plugin.world.gateway = True
    container.join()


def test_without_the_right_to_change_interfaces_the_error_says_which(plugin: Plugin) -> None:
    plugin.world.may = False
    with pytest.raises(MooringError, match="CAP_NET_ADMIN"):
        plugin.network()
    assert not plugin.journal.networks


def test_without_vxcan_the_endpoint_fails_and_the_bus_stays(plugin: Plugin) -> None:
    bus = plugin.network()
    plugin.world.kinds = {"vcan"}
    with pytest.raises(KernelError) as raised:
        plugin.endpoint(bus)
    assert raised.value.errno == errno.EOPNOTSUPP
    assert not plugin.journal.endpoints
    assert [link.name for link in plugin.world.links[HOST].values()] == ["vcan0"]


def test_a_network_with_addresses_is_warned_of_and_refused_when_strict(tmp_path: Path) -> None:
    lenient, strict = Plugin(tmp_path / "a"), Plugin(tmp_path / "b", strict_ipam=True)
    lenient.call("CreateNetwork", network=next(lenient.ids), addressed=True)
    assert "--ipam-driver null" in lenient.log.getvalue()
    with pytest.raises(MooringError, match="--ipam-driver null"):
        strict.call("CreateNetwork", network=next(strict.ids), addressed=True)
    assert strict.world.links == {HOST: {}}


def test_a_full_disk_fails_a_new_network_and_only_warns_at_join(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = plugin.network()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mooring.can.journal.write", full)
    with pytest.raises(MooringError, match="no space left on device"):
        plugin.network(vxcan__id="1")
    assert plugin.world.named("vcan1") is None
    container = plugin.start(bus)
    assert plugin.world.hears(container.end.index) == [bus_index(plugin)]
    assert "journal_not_written" in plugin.log.getvalue()


def test_a_bus_that_is_held_for_too_long_is_an_error_and_not_a_hang(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = plugin.network()
    monkeypatch.setattr("mooring.can.buses.LOCK", 0.05)
    waiting, go = threading.Event(), threading.Event()

    def hold(name: str) -> int:
        if threading.current_thread().name == "holder":
            waiting.set()
            go.wait(30)
        return 0

    plugin.world.refuse = hold
    holder = threading.Thread(target=plugin.endpoint, args=(bus,), name="holder")
    holder.start()
    assert waiting.wait(30)
    with pytest.raises(MooringError, match="another call has held it"):
        plugin.endpoint(bus)
    go.set()
    holder.join()


@pytest.mark.parametrize("verb", ["CreateNetwork", "CreateEndpoint", "Join"])
def test_a_call_that_fails_anywhere_leaves_nothing_of_itself(plugin: Plugin, verb: str) -> None:
    bus = plugin.network()
    waiting = plugin.endpoint(bus)
    if verb == "Join":
        plugin.world.remove(waiting.end.index)
    before = (dict(plugin.world.links[HOST]), list(plugin.world.rules))
    known = (dict(plugin.journal.networks), dict(plugin.journal.endpoints))
    new = next(plugin.ids)

    def attempt() -> None:
        if verb == "CreateNetwork":
            plugin.network(new, vxcan__id="5")
        elif verb == "CreateEndpoint":
            plugin.call("CreateEndpoint", network=bus, endpoint=new)
        else:
            waiting.join()

    for refused in range(100):
        plugin.world.refuse = nth_call(refused)
        try:
            attempt()
        except MooringError as error:
            said = str(error)
        else:
            assert refused > 0
            return
        assert "cannot allocate memory" in said
        assert (plugin.world.links[HOST], plugin.world.rules) == before
        assert (dict(plugin.journal.networks), dict(plugin.journal.endpoints)) == known
    pytest.fail("it never ended well")


def nth_call(refused: int) -> Callable[[str], int]:
    """Refuses one call, of whatever kind."""
    count = itertools.count()
    return lambda _: errno.ENOMEM if next(count) == refused else 0


def test_an_endpoint_belongs_to_one_network(plugin: Plugin) -> None:
    bus, other = plugin.network(), plugin.network(vxcan__id="1")
    container = plugin.endpoint(bus)
    with pytest.raises(MooringError, match="it belongs to the network"):
        Container(plugin, other, container.endpoint).join()
    assert isinstance(plugin.journal.endpoints[container.endpoint], Endpoint)


def test_calls_are_counted_by_verb_and_result(plugin: Plugin) -> None:
    bus = plugin.network()
    with pytest.raises(MooringError):
        plugin.endpoint(next(plugin.ids))
    plugin.start(bus)
    plugin.call("Status")
    totals = plugin.driver.status()["totals"]
    assert isinstance(totals, DriverTotals)
    counted = {(one.verb, one.ok): one.count for one in totals.calls}
    assert counted == {
        ("CreateNetwork", True): 1, ("CreateEndpoint", True): 1, ("CreateEndpoint", False): 1,
        ("Join", True): 1,
    }  # fmt: skip
    assert all(one.seconds > 0 for one in totals.calls if one.ok)
