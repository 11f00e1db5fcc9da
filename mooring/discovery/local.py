"""This machine as its kernel tells it: interfaces, routes, neighbours. Asks; decides nothing.

Everything here waits for the kernel and then computes for some tens of milliseconds: call it by
``asyncio.to_thread``. Linux is asked by netlink, other systems through psutil.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import structlog

from mooring.core import netlink
from mooring.core.errors import MooringError, why_os
from mooring.core.identity import hostname, operating_system
from mooring.core.netlink import Dump, Netlink, NetlinkError
from mooring.core.nlmsg import Malformed
from mooring.discovery import rtnetlink
from mooring.discovery.subnets import Site
from mooring.model.machine import Capability, Machine
from mooring.model.net import Interface, Neighbour, Route

log = structlog.get_logger(__name__)

MOST_ROUTES = 10_000
"""Routes told of; a router with the whole Internet's table has a million. Defaults come first."""

MOST_NEIGHBOURS = 20_000
"""Neighbours told of; the kernel's own table holds 1,024 unless somebody raised it."""

_TRIES = 3
"""How often links are listed again because an address belongs to a link that is not listed."""

_NO_SUCH_TABLE = frozenset({errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP})
"""Nothing to list: a namespace in which no route was ever made, or a kernel without IPv6."""

_BETWEEN_PAUSES = 250
"""Items between two pauses: one to three milliseconds of work."""

_PAUSE = 50e-6
"""Seconds of a pause: the least that lets a waiting thread wake up and begin."""

T = TypeVar("T")


class Seen(NamedTuple):
    """What one look at the network sees, and what of it could be seen."""

    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...]
    neighbours: tuple[Neighbour, ...]
    capabilities: tuple[Capability, ...]


def look(identity: str) -> Machine:
    """All of this machine but Docker, in the network namespace of the calling thread.

    ``identity`` is what ``core.identity`` found or the agent keeps. Routes or neighbours
    that cannot be listed become a capability that says why, and cost nothing else.

    Raises:
        MooringError: the interfaces cannot be listed.
    """
    started = time.perf_counter()
    seen = see()
    site = Site(seen.interfaces, seen.routes)
    found = tuple(s for interface in _gently(seen.interfaces) for s in site.subnets_of(interface))
    machine = Machine(
        identity=identity,
        hostname=hostname(),
        os=operating_system(),
        interfaces=seen.interfaces,
        subnets=found,
        routes=seen.routes,
        neighbours=seen.neighbours,
        capabilities=seen.capabilities,
    )
    log.info(
        "machine_looked_at",
        interfaces=len(machine.interfaces),
        subnets=len(machine.subnets),
        routes=len(machine.routes),
        neighbours=len(machine.neighbours),
        unavailable=[part.name for part in machine.capabilities if not part.available],
        elapsed_ms=round((time.perf_counter() - started) * 1000, 1),
    )
    return machine


def see() -> Seen:
    """The interfaces, routes and neighbours; see ``look``."""
    if sys.platform != "linux":
        from mooring.discovery import portable

        return Seen(portable.interfaces(), (), (), portable.capabilities())
    found, names = _interfaces()
    routes, of_routes = _part("routes", lambda: _routes(names))
    neighbours, of_neighbours = _part("neighbours", lambda: _neighbours(names))
    listed = Capability("interfaces", available=True)
    return Seen(found, routes, neighbours, (listed, of_routes, of_neighbours))


def interfaces() -> tuple[Interface, ...]:
    """The interfaces of the calling thread's network namespace, by index.

    Raises:
        MooringError: they cannot be listed.
    """
    if sys.platform != "linux":
        from mooring.discovery import portable

        return portable.interfaces()
    return _interfaces()[0]


def routes() -> tuple[Route, ...]:
    """The routes of the main tables, IPv4 before IPv6; none where only psutil can be asked.

    Raises:
        MooringError: the interfaces cannot be listed.
        OSError: the routes cannot.
    """
    return _routes(_interfaces()[1])[0] if sys.platform == "linux" else ()


def neighbours() -> tuple[Neighbour, ...]:
    """The ARP and NDP tables; nothing where only psutil can be asked.

    Raises:
        MooringError: the interfaces cannot be listed.
        OSError: the neighbours cannot.
    """
    return _neighbours(_interfaces()[1])[0] if sys.platform == "linux" else ()


def _part(
    name: str, ask: Callable[[], tuple[tuple[T, ...], str]]
) -> tuple[tuple[T, ...], Capability]:
    """A part of the look that may fail alone, and the capability that says how it went."""
    try:
        found, detail = ask()
    except (OSError, Malformed) as error:
        reason = why_os(error) if isinstance(error, OSError) else str(error)
        log.warning("look_part_failed", part=name, reason=reason)
        return (), Capability(name, available=False, detail=reason)
    return found, Capability(name, available=True, detail=detail)


def _interfaces() -> tuple[tuple[Interface, ...], dict[int, str]]:
    """The interfaces, and their names by index.

    Links and addresses are two questions: an address on a link that came between them is a
    reason to ask again, so that no address is ever left out of a look.
    """
    attempted = "listing the network interfaces"
    try:
        for _ in range(_TRIES):
            answer = _dump(netlink.RTM_GETLINK, rtnetlink.ASK_LINKS, "listing links")
            links = rtnetlink.links(_gently(answer.payloads))
            answer = _dump(netlink.RTM_GETADDR, rtnetlink.ASK_ADDRESSES, "listing addresses")
            addresses = rtnetlink.addresses(_gently(answer.payloads))
            if links.keys() >= addresses.keys():
                break
        else:
            log.warning("links_keep_changing", unknown=len(addresses.keys() - links.keys()))
    except OSError as error:
        remedy = "the agent needs a netlink socket: allow the address family AF_NETLINK"
        raise MooringError(attempted, why_os(error), remedy) from error
    except Malformed as error:
        raise MooringError(attempted, str(error)) from error
    names = {link.index: link.name for link in links.values()}
    return rtnetlink.interfaces(links, addresses, _is_radio), names


def _routes(names: dict[int, str]) -> tuple[tuple[Route, ...], str]:
    found: list[Route] = []
    cut = False
    for family in (rtnetlink.AF_INET, rtnetlink.AF_INET6):
        try:
            answer = _dump(
                netlink.RTM_GETROUTE,
                rtnetlink.ask_routes(family),
                "listing routes",
                most=MOST_ROUTES,
            )
        except NetlinkError as error:
            if error.errno in _NO_SUCH_TABLE:
                continue
            raise
        cut = cut or answer.cut
        found += rtnetlink.routes(_gently(answer.payloads), family, names)
    return tuple(found), f"the first {MOST_ROUTES} of a family" if cut else ""


def _neighbours(names: dict[int, str]) -> tuple[tuple[Neighbour, ...], str]:
    answer = _dump(
        netlink.RTM_GETNEIGH,
        rtnetlink.ASK_NEIGHBOURS,
        "listing neighbours",
        most=MOST_NEIGHBOURS,
    )
    found = tuple(rtnetlink.neighbours(_gently(answer.payloads), names))
    return found, f"the first {MOST_NEIGHBOURS}" if answer.cut else ""


def _dump(kind: int, body: bytes, doing: str, most: int | None = None) -> Dump:
    """One dump on a socket of its own: what an earlier one left unread harms no later one."""
    with Netlink() as kernel:
        answer = kernel.dump(kind, body, doing=doing, most=most)
    if not answer.consistent:
        log.warning("dump_inconsistent", doing=doing, entries=len(answer.payloads))
    return answer


def _gently(items: Sequence[T]) -> Iterator[T]:
    """The items, with a pause now and then for the thread that waits for the interpreter.

    A thread that computes gives the interpreter away only when another has waited 5 ms for it,
    and an event loop waits more than once in a turn: with 1,000 interfaces its turns took 20 ms.
    """
    for number, item in enumerate(items):
        if number % _BETWEEN_PAUSES == _BETWEEN_PAUSES - 1:
            time.sleep(_PAUSE)
        yield item


def _is_radio(link: rtnetlink.Link) -> bool:
    """Whether a hardware Ethernet is a radio, which the kernel's netlink does not say.

    sysfs may show another namespace's devices, hence the comparison of addresses; and it is
    asked of hardware only, of which there is little, and never whether something exists.
    """
    device = Path("/sys/class/net") / link.name
    if not (device / "phy80211").exists():
        return False
    try:
        return (device / "address").read_text().strip() == link.mac
    except OSError:
        # It went away meanwhile: what it was is of no consequence.
        return False
