"""What scans are done with: the scan engine, the catalogue and the probes, joined."""

from __future__ import annotations

from dataclasses import replace

from mooring.discovery import catalogue, identify
from mooring.discovery.probes.limits import Limits
from mooring.discovery.probes.port import identify_port
from mooring.discovery.probes.udp import ask_udp
from mooring.discovery.scan import ports
from mooring.discovery.scan.events import Found
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.scan.run import Scanner
from mooring.discovery.scan_run import Tools
from mooring.discovery.scan_services import AT_ONCE, AT_ONCE_OF_ONE
from mooring.discovery.vendors import vendor_of
from mooring.model.service import Service


def tools(options: ScanOptions) -> Tools:
    """``options`` without the usual ports, which are the catalogue's.

    The catalogue is read anew for each scan: who adds an entry need not start the agent anew.
    """
    loaded = catalogue.load(catalogue.users_folders())
    known = loaded.catalogue
    options = replace(options, usual=known.light_ports)
    limits = Limits(at_once=AT_ONCE, per_host=AT_ONCE_OF_ONE, ask_printers=options.ask_printers)
    vendor_of("00:00:00:00:00:00")  # reads the table, here in a thread

    def know(host: Found) -> tuple[str, tuple[Service, ...]]:
        vendor = vendor_of(host.mac) if host.mac else ""
        return vendor, identify.identify_host(vendor, host.mdns, known)

    return Tools(
        scanner=Scanner(options),
        looked_at=lambda depth: ports.looked_at(depth, options),
        ask=lambda ip, number: identify_port(ip, number, known, limits),
        ask_udp=lambda ip: ask_udp(ip, known, limits),
        know=know,
        warnings=tuple(str(error) for error in loaded.left_out),
    )
