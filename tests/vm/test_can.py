"""The driver in a machine with CAN and Docker: frames, containers that come and go, reboots."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm import can
from tests.vm.can import Party, container, each_once, exchange, network
from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        made.make_tools()
        can.serve(made)
        yield made


def test_each_frame_reaches_each_other_party_once_and_never_its_sender(vm: Machine) -> None:
    network(vm, "bus0", "vxcan.dev=vcan", "vxcan.id=0", "vxcan.peer=can")
    container(vm, "a", "bus0")
    container(vm, "b", "bus0")
    parties = Party(vm, "host", "vcan0"), Party(vm, "a", "can0"), Party(vm, "b", "can0")
    assert exchange(*parties) == each_once(*parties)
