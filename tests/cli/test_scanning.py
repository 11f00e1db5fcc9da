"""The options with which an agent is told what it may scan."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mooring.cli.scanning import RATE, wiring
from mooring.core.errors import UsageError


def test_an_agent_scans_what_it_is_attached_to_and_what_is_allowed_beside() -> None:
    made = wiring(True, ("10.9.0.0/16", "10.8.0.7"), RATE)
    assert made is not None
    assert made.allowed == (ip_network("10.9.0.0/16"), ip_network("10.8.0.7/32"))
    assert made.here().own


def test_an_agent_that_may_not_scan_has_nothing_to_scan_with() -> None:
    assert wiring(False, (), RATE) is None


@pytest.mark.parametrize(
    ("scan", "allow", "said"),
    [
        (False, ("10.9.0.0/16",), "the one allows what the other forbids"),
        (True, ("10.9.0.1/16",), "10.9.0.0/16 is the network"),
        (True, ("everything",), "it is no network and no address"),
    ],
)
def test_options_that_make_no_sense_are_told_with_what_to_do(
    scan: bool, allow: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError) as told:
        wiring(scan, allow, RATE)
    assert said in str(told.value)


def test_what_scans_are_done_with_is_there() -> None:
    made = wiring(True, (), 1000.0)
    assert made is not None
    tools = made.tools()
    assert tools.warnings == ()
