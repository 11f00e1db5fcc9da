"""Asks by mDNS what hosts call themselves and which services they tell of. Never waits long.

One-shot queries (RFC 6762, 5.1) from a port of our own: answers come to us alone, nothing of the
machine's own responder is touched. What is told is evidence and no more: a host is there if an
answer comes from its address; a name counts for the address that tells it, or for one of the same
scan that it is told for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from mooring.discovery.scan.plan import Link, Plan
from mooring.model.net import IpAddress

if TYPE_CHECKING:
    from zeroconf._protocol.incoming import DNSIncoming

log = structlog.get_logger(__name__)

_GROUPS = {4: "224.0.0.251", 6: "ff02::fb"}
_PORT = 5353

_ALL_TYPES = "_services._dns-sd._udp.local."
_TYPE = re.compile(r"(_[A-Za-z0-9-]{1,15}\._(?:tcp|udp))\.local\.?", re.ASCII)
_HOST = re.compile(r"[^\s\x00-\x1f\x7f]{1,253}\.local\.?")

MOST_PACKETS = 5000
MOST_RECORDS = 200
"""Records of one packet that are read."""
MOST_TYPES = 100
"""Service types that are asked for."""
MOST_OF_A_HOST = 50
"""Service types that are kept of one host."""
MOST_NAMES = 4
MOST_TOLD_OF = 4096
"""Addresses of which names are kept."""

_A_PACKET = 20
"""Questions in one packet: they and the names in them fit in 1,400 bytes."""

_TURN = 0.05
_AGAIN = 0.3
"""Seconds after which the first question is asked once more."""

LEAST = 0.35
"""Seconds that it listens at the least."""
QUIET = 0.25
"""Seconds without a word after which it ends, once nobody needs it."""
MOST_AFTER = 1.5
"""Seconds that it goes on at the most once nobody needs it."""


class Told(NamedTuple):
    """What one packet tells."""

    types: tuple[str, ...]
    """Service types of its sender: ``_ipp._tcp``."""
    names: tuple[tuple[IpAddress | None, str], ...]
    """Host names without the dot at the end, and for which address; None: of its sender."""


def read(packet: DNSIncoming) -> Told:
    """The service types and names in a response; of nonsense nothing."""
    types: list[str] = []
    names: list[tuple[IpAddress | None, str]] = []
    if not packet.valid or not packet.is_response():
        return Told((), ())
    for record in packet.answers()[:MOST_RECORDS]:
        alias = getattr(record, "alias", None)
        address = getattr(record, "address", None)
        server = getattr(record, "server", None)
        kinds = (_TYPE.fullmatch(text) for text in (record.name, alias) if text)
        types += [kind[1].lower() for kind in kinds if kind]
        if alias and (ip := _reversed(record.name)) and (name := _name(alias)):
            names.append((ip, name))
        elif isinstance(address, bytes) and (name := _name(record.name)):
            with suppress(ValueError):
                names.append((ipaddress.ip_address(address), name))
        elif server and (name := _name(server)):
            names.append((None, name))
    return Told(tuple(dict.fromkeys(types)), tuple(dict.fromkeys(names)))


def _name(text: str) -> str | None:
    if not _HOST.fullmatch(text) or text.startswith("_") or not text.isprintable():
        return None
    return text.rstrip(".")


def _reversed(name: str) -> IpAddress | None:
    """The address of a name such as ``5.0.0.10.in-addr.arpa.``"""
    lower = name.lower().rstrip(".")
    with suppress(ValueError):
        if lower.endswith(".in-addr.arpa"):
            parts = lower.removesuffix(".in-addr.arpa").split(".")
            return ipaddress.IPv4Address(".".join(reversed(parts)))
        if lower.endswith(".ip6.arpa"):
            digits = "".join(reversed(lower.removesuffix(".ip6.arpa").split(".")))
            if len(digits) == 32:
                return ipaddress.IPv6Address(int(digits, 16))
    return None


class Mdns:
    """Names and service types of the hosts of a plan, on the links that it lies on.

    ``found`` gives the hosts that are known, from a number on, in the order of their finding: they
    are asked for their names. ``tell`` hears of an address, its names (the likeliest first), its
    service types, and whether the host itself has spoken.
    """

    def __init__(
        self,
        plan: Plan,
        found: Callable[[int], Iterable[IpAddress]],
        tell: Callable[[IpAddress, tuple[str, ...], tuple[str, ...], bool], None],
    ) -> None:
        self._plan = plan
        self._found = found
        self._tell = tell
        self._own_names: dict[IpAddress, list[str]] = {}
        """What hosts call themselves; it comes before what others call them."""
        self._names: dict[IpAddress, list[str]] = {}
        self._types: dict[IpAddress, list[str]] = {}
        self._asked_types: set[str] = set()
        self._asked_hosts = 0
        self._waiting: list[str] = []
        self._packets = 0
        self._heard = 0.0
        self._out: list[tuple[socket.socket, tuple[Any, ...]]] = []

    async def listen(self, over: asyncio.Event) -> None:
        """Ask and listen until ``over`` is set, and then as long as answers still come."""
        zeroconf = await asyncio.to_thread(_library)
        loop = asyncio.get_running_loop()
        links = {block.link for block in self._plan.blocks if block.link and block.link.mac}
        try:
            for link in links:
                with suppress(OSError):
                    self._open(link)
            for opened, _ in self._out:
                loop.add_reader(opened, self._hear, opened, zeroconf)
            if self._out:
                await self._ask(over, zeroconf)
        finally:
            for opened, _ in self._out:
                loop.remove_reader(opened)
                opened.close()

    async def _ask(self, over: asyncio.Event, zeroconf: Any) -> None:
        began = time.monotonic()
        ended = 0.0
        self._waiting = [_ALL_TYPES]
        again = False
        while True:
            now = time.monotonic()
            if not again and now - began >= _AGAIN:
                again = True
                self._waiting.append(_ALL_TYPES)
            for ip in self._found(self._asked_hosts):
                self._asked_hosts += 1
                self._waiting.append(f"{ip.reverse_pointer}.")
            while self._waiting:
                self._send(self._waiting[:_A_PACKET], zeroconf)
                del self._waiting[:_A_PACKET]
            if over.is_set():
                ended = ended or now
                quiet = now - max(self._heard, began) >= QUIET and now - began >= LEAST
                if quiet or now - ended >= MOST_AFTER:
                    return
                await asyncio.sleep(_TURN / 2)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _TURN)

    def _open(self, link: Link) -> None:
        family = socket.AF_INET if link.ip.version == 4 else socket.AF_INET6
        made = socket.socket(family, socket.SOCK_DGRAM)
        group: tuple[Any, ...] = (_GROUPS[link.ip.version], _PORT)
        try:
            made.setblocking(False)
            if link.ip.version == 4:
                own = socket.inet_aton(str(link.ip))
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
                made.bind((str(link.ip), 0))
            else:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link.index)
                made.bind((str(link.ip), 0, 0, link.index))
                group = (*group, 0, link.index)
        except OSError:
            made.close()
            raise
        self._out.append((made, group))

    def _send(self, questions: Iterable[str], zeroconf: Any) -> None:
        out = zeroconf.DNSOutgoing(0)
        for name in questions:
            out.add_question(zeroconf.DNSQuestion(name, 12, 1))
        for packet in out.packets():
            for opened, group in self._out:
                # A link without multicast, or that went down: it tells nothing.
                with suppress(OSError):
                    opened.sendto(packet, group)

    def _hear(self, opened: socket.socket, zeroconf: Any) -> None:
        try:
            data, sender = opened.recvfrom(9000)
        except OSError:
            return
        self._packets += 1
        if self._packets > MOST_PACKETS:
            return
        source = ipaddress.ip_address(sender[0].partition("%")[0])
        if self._plan.block_of(source) is None:
            return
        told = read(zeroconf.DNSIncoming(data))
        if not told.types and not told.names:
            return
        self._heard = time.monotonic()
        self._keep(self._types, source, told.types, MOST_OF_A_HOST)
        changed = {source}
        for ip, name in told.names:
            about = source if ip is None else ip
            if self._plan.block_of(about) is not None:
                kept = self._own_names if about == source else self._names
                self._keep(kept, about, (name,), MOST_NAMES)
                changed.add(about)
        for ip in changed:
            names = dict.fromkeys((*self._own_names.get(ip, ()), *self._names.get(ip, ())))
            types = self._types.get(ip, ())
            self._tell(ip, tuple(names)[:MOST_NAMES], tuple(types), ip == source)
        for kind in told.types:
            if kind not in self._asked_types and len(self._asked_types) < MOST_TYPES:
                self._asked_types.add(kind)
                self._waiting.append(f"{kind}.local.")

    def _keep(
        self,
        kept: dict[IpAddress, list[str]],
        ip: IpAddress,
        values: Iterable[str],
        most: int,
    ) -> None:
        if ip in kept or len(kept) < MOST_TOLD_OF:
            of_host = kept.setdefault(ip, [])
            of_host += [one for one in values if one not in of_host][: most - len(of_host)]


def _library() -> Any:
    """Loaded when it is first needed, by a thread: it takes a tenth of a second."""
    import zeroconf

    return zeroconf
