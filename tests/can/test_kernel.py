"""The kernel that is really there, in a namespace; veth and bridge stand in for vxcan and vcan."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mooring.can import kernel as kernel_module
from mooring.can.kernel import Kernel, KernelError, Kinds, by_name
from mooring.model.can import Link, Rule, Settings
from tests.lab.netns import Namespace, namespace
from tests.parts import need

pytestmark = pytest.mark.real
STAND_INS = Kinds(bus="bridge", pair="veth")


@pytest.fixture
def ns() -> Iterator[Namespace]:
    need("netns")
    with namespace() as made:
        yield made


def seen() -> dict[int, Link]:
    """What another connection sees."""
    with Kernel(STAND_INS) as kernel:
        return kernel.links()


def test_a_pair_is_made_marked_up_and_deleted_with_its_other_end(ns: Namespace) -> None:
    def whole() -> None:
        with Kernel(STAND_INS) as kernel:
            index = kernel.add_pair("vx0123456789", "vy0123456789", "mooring:endpoint:x:y")
            links = seen()
            host = links[index]
            assert (host.name, host.kind, host.up) == ("vx0123456789", "veth", True)
            assert host.alias == "mooring:endpoint:x:y"
            assert not host.away
            other = links[host.other or 0]
            assert (other.name, other.up, other.alias) == ("vy0123456789", False, "")
            # It was not asked for, and is known all the same.
            for known in (kernel.links()[index], kernel.links()[index + 1]):
                assert replace(links[known.index], can=True, txqueuelen=0) == known
            kernel.delete(index, host.name)
            kernel.delete(index, host.name)
            assert [link.name for link in kernel.links().values()] == ["lo"]

    ns.call(whole)


def test_an_alias_of_full_length_is_kept(ns: Namespace) -> None:
    def whole() -> str:
        with Kernel(STAND_INS) as kernel:
            index = kernel.add_bus("vcan0", "m" * 255)
            return seen()[index].alias

    assert ns.call(whole) == "m" * 255


@pytest.mark.parametrize("taken", ["vx1", "vy1"])
def test_a_name_that_is_taken_is_an_error_and_its_owner_is_not_touched(
    ns: Namespace, taken: str
) -> None:
    ns.batch(f"link add {taken} type bridge")

    def whole() -> None:
        with Kernel(STAND_INS) as kernel:
            before = kernel.links()
            with pytest.raises(KernelError, match="making the interface vx1") as raised:
                kernel.add_pair("vx1", "vy1", "mooring:endpoint:x:y")
            assert raised.value.errno == errno.EEXIST
            assert kernel.links() == before

    ns.call(whole)


def test_a_kind_that_the_kernel_has_not_is_an_error_with_a_remedy(ns: Namespace) -> None:
    def whole() -> None:
        with Kernel(Kinds(bus="nosuchkind")) as kernel:
            with pytest.raises(KernelError, match="this kernel has no such kind") as raised:
                kernel.add_bus("vcan0", "mooring:bus")
            assert raised.value.remedy
            assert [link.name for link in kernel.links().values()] == ["lo"]

    ns.call(whole)


def test_an_end_is_put_into_another_namespace_under_the_name_that_is_free_there(
    ns: Namespace,
) -> None:
    with namespace() as container:
        container.batch("link add can0 type bridge")

        def whole() -> str:
            with Kernel(STAND_INS) as kernel:
                index = kernel.add_pair("vx1", "vy1", "mooring:endpoint:x:y")
                end = by_name(kernel.links().values(), "vy1")
                assert end is not None

                def choose(taken: set[str]) -> str:
                    return next(n for i in range(9) if (n := f"can{i}") not in taken)

                name = kernel.insert(end, str(container.path), choose)
                assert kernel.links()[index].away
                assert by_name(kernel.links().values(), "vy1") is None
                return name

        assert ns.call(whole) == "can1"
        (there,) = [link for link in container.ip_json("link") if link["ifname"] == "can1"]
        assert "UP" in there["flags"]


def test_the_end_of_the_containers_namespace_takes_the_pair_along(ns: Namespace) -> None:
    def pair() -> None:
        with Kernel(STAND_INS) as kernel:
            kernel.add_pair("vx1", "vy1", "mooring:endpoint:x:y")
            end = by_name(kernel.links().values(), "vy1")
            assert end is not None
            kernel.insert(end, str(container.path), lambda _: "can0")

    def names() -> set[str]:
        with Kernel(STAND_INS) as kernel:
            return {link.name for link in kernel.links().values()}

    with namespace() as container:
        ns.call(pair)
        assert "vx1" in ns.call(names)
    limit = time.monotonic() + 60
    while "vx1" in ns.call(names):
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_device_that_appears_while_it_is_waited_for_is_seen(ns: Namespace) -> None:
    found: list[bool] = []

    def wait() -> None:
        with Kernel(STAND_INS) as kernel:
            found.append(kernel.wait_for("can0", 60.0))

    waiting = threading.Thread(target=ns.call, args=(wait,))
    waiting.start()
    ns.batch("link add other type bridge", "link add can0 type bridge")
    waiting.join(60)
    assert found == [True]


def test_a_device_that_does_not_come_is_waited_for_no_longer_than_said(ns: Namespace) -> None:
    def wait() -> bool:
        with Kernel(STAND_INS) as kernel:
            return kernel.wait_for("can0", 0.05)

    assert ns.call(wait) is False


def test_a_length_of_queue_is_set(ns: Namespace) -> None:
    def whole() -> int:
        with Kernel(STAND_INS) as kernel:
            index = kernel.add_bus("vcan0", "mooring:bus")
            kernel.configure(kernel.links()[index], Settings(txqueuelen=321))
            return kernel.links()[index].txqueuelen

    assert ns.call(whole) == 321


@pytest.mark.skipif(kernel_module.gateway_loaded(), reason="this kernel has can-gw loaded")
def test_without_can_gw_there_are_no_rules_and_adding_one_says_how_to_load_it(
    ns: Namespace,
) -> None:
    ns.batch("link add br0 type bridge", "addr add 10.9.0.1/24 dev br0", "link set br0 up")

    def whole() -> None:
        with Kernel(STAND_INS) as kernel:
            assert kernel.rules() == []
            with pytest.raises(KernelError) as raised:
                kernel.change_rules((), [Rule(1, 2, 0), Rule(2, 1, 1)])
            assert raised.value.errno == errno.EOPNOTSUPP
            assert raised.value.remedy == "can-gw is not loaded: run `modprobe can-gw`"

    ns.call(whole)


def test_a_batch_tells_of_each_request_what_became_of_it(ns: Namespace) -> None:
    from mooring.can import rtcan
    from mooring.core.netlink import BATCH, Netlink

    def whole() -> list[int]:
        with Netlink() as netlink:
            requests = [
                rtcan.new_link(5000 + n, f"d{n if n % 50 else 1}", "bridge")
                for n in range(1, 2 * BATCH + 10)
            ]
            return [one.errno for one in netlink.batch(requests, doing="making links")]

    said = ns.call(whole)
    assert len(said) == 409
    assert [n for n, code in enumerate(said, 1) if code] == [50, 100, 150, 200, 250, 300, 350, 400]
    assert {code for code in said if code} == {errno.EEXIST}
