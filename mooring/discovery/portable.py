"""Interfaces as psutil tells them, for systems without netlink. Knows no routes, no neighbours.

psutil knows neither masters nor parents, and says of an interface's kind no more than its flags.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Protocol

import psutil

from mooring.core.errors import MooringError, why_os
from mooring.model.machine import Capability
from mooring.model.net import Address, Interface, InterfaceKind, InterfaceState, IpAddress


class _Told(Protocol):
    """What ``psutil.net_if_addrs`` gives for one address."""

    @property
    def family(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def netmask(self) -> str | None: ...
    @property
    def ptp(self) -> str | None: ...


def interfaces() -> tuple[Interface, ...]:
    """The interfaces by index.

    Raises:
        MooringError: they cannot be listed.
    """
    try:
        told = psutil.net_if_addrs()
        states = psutil.net_if_stats()
    except OSError as error:
        raise MooringError("listing the network interfaces", why_os(error)) from error
    found = []
    for name in told.keys() | states.keys():
        state = states.get(name)
        flags = frozenset(state.flags.split(",")) if state else frozenset()
        addresses = tuple(_addresses(told.get(name, ())))
        mac = _mac(told.get(name, ()))
        found.append(
            Interface(
                name=name,
                index=_index(name),
                kind=_kind(flags, addresses, mac),
                state=_state(state.isup if state else None),
                mac=mac,
                mtu=state.mtu if state else 0,
                addresses=addresses,
            )
        )
    return tuple(sorted(found, key=lambda interface: (interface.index, interface.name)))


def capabilities() -> tuple[Capability, ...]:
    """What this way of looking gives, and what it cannot."""
    detail = "this system is asked through psutil, which does not tell them"
    return (
        Capability("interfaces", available=True, detail="through psutil"),
        Capability("routes", available=False, detail=detail),
        Capability("neighbours", available=False, detail=detail),
    )


def _kind(flags: frozenset[str], addresses: tuple[Address, ...], mac: str | None) -> InterfaceKind:
    # Windows has no flags: there the loopback is known by its addresses.
    if "loopback" in flags or (addresses and all(a.ip.is_loopback for a in addresses)):
        return InterfaceKind.LOOPBACK
    if "pointopoint" in flags:
        return InterfaceKind.TUN
    return InterfaceKind.ETHERNET if mac else InterfaceKind.OTHER


def _state(is_up: bool | None) -> InterfaceState:
    if is_up is None:
        return InterfaceState.UNKNOWN
    return InterfaceState.UP if is_up else InterfaceState.DOWN


def _index(name: str) -> int:
    """The system's index; 0 on Windows, whose names for a person are not those of the call."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _mac(told: Iterable[_Told]) -> str | None:
    for one in told:
        if one.family == psutil.AF_LINK:
            mac = one.address.replace("-", ":").lower()
            if len(mac) == 17 and mac != "00:00:00:00:00:00":
                return mac
    return None


def _addresses(told: Iterable[_Told]) -> Iterable[Address]:
    for one in told:
        if one.family not in (socket.AF_INET, socket.AF_INET6):
            continue
        ip = _ip(one.address)
        peer = _ip(one.ptp) if one.ptp else None
        yield Address(ip, _prefix(ip, one.netmask), None if peer == ip else peer)


def _ip(text: str) -> IpAddress:
    """An address without its zone (``fe80::1%en0``)."""
    return ipaddress.ip_address(text.partition("%")[0])


def _prefix(ip: IpAddress, netmask: str | None) -> int:
    """The netmask's length; without one (IPv6 on Windows) the address stands for itself."""
    if not netmask:
        return ip.max_prefixlen
    return int(_ip(netmask)).bit_count()
