"""Random stories on the kernel itself: repair leaves health green, and nothing foreign is hurt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(1800)]

STORIES = 100
CHANCE = "/usr/local/lib/lab/chance.py"


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        made.write(CHANCE, Path(__file__).with_name("chance.py").read_text())
        yield made


def test_after_kills_and_changes_by_hand_repair_leaves_every_bus_in_order(vm: Machine) -> None:
    libraries = "PYTHONPATH=/opt/mooring:/opt/libraries"
    ran = vm.tried(
        "env", libraries, "python3", CHANCE, "0", str(STORIES), within=1700,
    )  # fmt: skip
    assert ran.code == 0, (json.loads(ran.out) if ran.out else {}) or ran.err
    told = json.loads(ran.out)
    assert told["stories"] == STORIES
    # Some were killed, or it says nothing.
    assert told["kills"] > STORIES / 2
    print(told)
