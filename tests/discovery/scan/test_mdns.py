from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

import zeroconf
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.discovery.scan.mdns import MOST_RECORDS, read

ip = ipaddress.ip_address
IN = 1


def response(records: Sequence[zeroconf.DNSRecord]) -> zeroconf.DNSIncoming:
    out = zeroconf.DNSOutgoing(0x8400)
    for record in records:
        out.add_answer_at_time(record, 0)
    return zeroconf.DNSIncoming(out.packets()[0])


def pointer(name: str, alias: str) -> zeroconf.DNSPointer:
    return zeroconf.DNSPointer(name, 12, IN, 120, alias)


def test_types_names_and_addresses_are_read() -> None:
    told = read(
        response(
            [
                pointer("_services._dns-sd._udp.local.", "_ipp._tcp.local."),
                pointer("_http._tcp.local.", "Office._http._tcp.local."),
                pointer("5.0.0.10.in-addr.arpa.", "printer.local."),
                zeroconf.DNSService(
                    "Office._http._tcp.local.", 33, IN, 120, 0, 0, 80, "box.local."
                ),
                zeroconf.DNSAddress("cam.local.", 1, IN, 120, socket.inet_aton("10.0.0.9")),
            ]
        )
    )
    assert set(told.types) == {"_ipp._tcp", "_http._tcp"}
    assert set(told.names) == {
        (ip("10.0.0.5"), "printer.local"),
        (None, "box.local"),
        (ip("10.0.0.9"), "cam.local"),
    }


def test_what_is_no_host_name_and_no_type_is_left_out() -> None:
    told = read(
        response(
            [
                pointer("_services._dns-sd._udp.local.", "_far-too-long-a-name-for-it._tcp.local."),
                pointer("_services._dns-sd._udp.local.", "_x._sctp.local."),
                pointer("5.0.0.10.in-addr.arpa.", "printer.example.com."),
                pointer("5.0.0.10.in-addr.arpa.", "two words.local."),
                pointer("5.0.0.10.in-addr.arpa.", "red\x1b[31m.local."),
                pointer("999.0.0.10.in-addr.arpa.", "printer.local."),
            ]
        )
    )
    assert told == ((), ())


def test_of_a_packet_with_very_many_records_the_first_are_read() -> None:
    many = [pointer("_services._dns-sd._udp.local.", f"_t{n}._tcp.local.") for n in range(400)]
    assert len(read(response(many)).types) <= MOST_RECORDS


def test_a_question_tells_nothing() -> None:
    out = zeroconf.DNSOutgoing(0)
    out.add_question(zeroconf.DNSQuestion("_ipp._tcp.local.", 12, IN))
    assert read(zeroconf.DNSIncoming(out.packets()[0])) == ((), ())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_from_outside_raise(data: bytes) -> None:
    read(zeroconf.DNSIncoming(b"\0\0\x84\0" + data))
