"""The bytes of requests and answers, against the layouts of the kernel's headers."""

from __future__ import annotations

import struct

import pytest

from mooring.can import filters, rtcan
from mooring.core import nlmsg
from mooring.model.can import Filter, FoundRule, Rule, Settings


def test_a_rule_is_laid_out_as_cangw_does_it() -> None:
    request = rtcan.add_rule(Rule(3, 4, 0x9, 1, Filter(0x123, 0x7FF)))
    assert request.kind == 24
    assert request.body == b"".join(
        (
            struct.pack("=BBH", 29, 1, 0x9),
            struct.pack("=HHI", 8, 9, 3),
            struct.pack("=HHI", 8, 10, 4),
            struct.pack("=HHB3x", 5, 13, 1),
            struct.pack("=HHII", 12, 11, 0x123, 0x7FF),
        )
    )
    assert rtcan.delete_rule(Rule(3, 4, 0x9)).kind == 25


@pytest.mark.parametrize(
    "rule", [Rule(1, 2, 0), Rule(1, 2, 9, 0), Rule(7, 1 << 20, 8, 2, filters.ERRORS)]
)
def test_a_rule_is_read_as_it_was_written(rule: Rule) -> None:
    counters = nlmsg.u32(7, 5) + nlmsg.u32(8, 6) + nlmsg.u32(12, 7)
    (found,) = rtcan.rules([rtcan.add_rule(rule).body + counters])
    assert found == FoundRule(rule, handled=5, dropped=6, deleted=7)


def test_a_rule_that_changes_frames_is_told_from_ours() -> None:
    (found,) = rtcan.rules([rtcan.add_rule(Rule(1, 2, 0)).body + nlmsg.attribute(1, bytes(17))])
    assert found.modifies


@pytest.mark.parametrize("rule", [Rule(0, 1, 0), Rule(1, 0, 0), Rule(0, 0, 0)])
def test_a_deletion_of_all_rules_of_the_machine_can_not_be_said(rule: Rule) -> None:
    with pytest.raises(AssertionError):
        rtcan.delete_rule(rule)


def test_the_ip_routes_of_a_kernel_without_can_gw_are_no_rules() -> None:
    assert rtcan.rules([struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 2, 253, 1, 0)]) == []


def test_bit_rates_and_modes_are_laid_out_as_ip_does_it() -> None:
    request = rtcan.configure(5, Settings(500_000, 2_000_000, None, 100))
    told = nlmsg.attributes(request.body, 16)
    info = nlmsg.attributes(told[18])
    data = nlmsg.attributes(info[2])
    assert nlmsg.as_text(info[1]) == "can"
    assert struct.unpack("=8I", data[1]) == (500_000, 0, 0, 0, 0, 0, 0, 0)
    assert struct.unpack("=8I", data[9]) == (2_000_000, 0, 0, 0, 0, 0, 0, 0)
    assert struct.unpack("=II", data[5]) == (0x20, 0x20)
    assert struct.unpack("=I", data[6]) == (100,)


def test_a_can_device_is_read_with_its_settings() -> None:
    data = nlmsg.attribute(1, struct.pack("=8I", 250_000, 0, 0, 0, 0, 0, 0, 0))
    data += nlmsg.attribute(5, struct.pack("=II", 0, 0x20)) + nlmsg.u32(4, 3) + nlmsg.u32(6, 50)
    payload = struct.pack("=BxHiII", 0, 280, 9, 1, 0) + nlmsg.text(3, "can0")
    payload += nlmsg.nested(18, nlmsg.text(1, "can"), nlmsg.nested(2, data))
    link = rtcan.link(payload)
    assert (link.index, link.name, link.kind, link.can, link.up) == (9, "can0", "can", True, True)
    assert (link.bitrate, link.fd, link.restart_ms, link.state) == (250_000, True, 50, 3)


def test_what_is_too_short_is_malformed() -> None:
    with pytest.raises(nlmsg.Malformed):
        rtcan.link(b"\0" * 8)
    with pytest.raises(nlmsg.Malformed):
        rtcan.rules([bytes((29,))])
