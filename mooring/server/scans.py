"""Pure. Who the hosts of a scanned block are, which rows they have, and what of it is news."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from mooring.model.net import IpNetwork
from mooring.model.scan import BLOCK_PREFIX, MANY, Depth, Scan, ScannedHost
from mooring.server.merge import Row, Values
from mooring.server.names import name_order

FEW = 10
"""Of more news of one sort than this in a block a single line tells."""
DEPTHS = [depth.value for depth in Depth]

# --- who is it


@dataclass(frozen=True, slots=True)
class Known:
    """A stored host that a scanned one may be."""

    id: str
    macs: frozenset[str] = frozenset()
    ips: frozenset[str] = frozenset()
    """Its present addresses, those of the scanned block among them."""
    former: Mapping[str, float] = field(default_factory=dict)
    """Addresses of the block that it had, and until when."""
    reports: bool = False
    """An agent is on it."""
    online: bool = False


@dataclass(frozen=True, slots=True)
class Who:
    """A scanned host and who it is: a stored one, or a new one that ``key`` names."""

    seen: ScannedHost
    id: str | None
    mac: str | None
    """Its own hardware address, if that is known."""

    @property
    def key(self) -> str:
        return self.id or self.mac or str(self.seen.ip)


@dataclass(slots=True)
class Host:
    """One host of a block while it is stored: its entries there, and what is stored of it."""

    id: str
    entries: list[tuple[Who, Values]] = field(default_factory=list)
    row: Row | None = None
    """As it was stored before."""
    known: Known | None = None
    values: Values = field(default_factory=dict)
    """What its row says from now on."""

    @property
    def reports(self) -> bool:
        return self.known is not None and self.known.reports

    @property
    def says_where(self) -> bool:
        """Its agent is there and tells its addresses, all of them."""
        return self.known is not None and self.known.reports and self.known.online


def recognise(seen: Sequence[ScannedHost], known: Iterable[Known]) -> list[Who]:
    """Who the hosts of a block are.

    A machine that reports by itself is known by its hardware address, or by the address that it
    says is its own. Any other by its hardware address, wherever it has moved; and by its address
    alone where no hardware address says otherwise. Of several known by their addresses that turn
    out to have one hardware address, all are the first.
    """
    known = sorted(known, key=lambda k: k.id)
    by_mac: dict[str, list[Known]] = defaultdict(list)
    by_ip: dict[str, list[Known]] = defaultdict(list)
    for one in known:
        for mac in one.macs:
            by_mac[mac].append(one)
        for ip in {*one.ips, *one.former}:
            by_ip[ip].append(one)
    here = {str(s.ip) for s in seen}
    answered = Counter(s.mac for s in seen if s.mac)
    for each in answered:
        elsewhere = [len(k.ips - here) for k in by_mac[each] if not k.reports]
        answered[each] += max(elsewhere, default=0)
    found: list[tuple[ScannedHost, str | None, Known | None]] = []
    of_mac: dict[str, Known] = {}
    for s in seen:
        ip = str(s.ip)
        own = s.mac if answered[s.mac or ""] <= MANY else None
        at = by_ip[ip]
        same = _same_mac(ip, by_mac[own]) if own else None
        if same is None or not same.reports:
            same = _same_machine(ip, own, at) or same or _same_place(ip, own, at)
        if own and same and not same.reports:
            of_mac.setdefault(own, same)
        found.append((s, own, same))
    whos = []
    for s, own, same in found:
        who = same if same and same.reports else of_mac.get(own or "", same)
        whos.append(Who(s, who.id if who else None, own))
    return whos


def _same_mac(ip: str, sharing: list[Known]) -> Known | None:
    """Of several (copies of a virtual machine) one that reports, and has this address."""
    return max(sharing, key=lambda k: (k.reports, ip in k.ips), default=None)


def _same_machine(ip: str, mac: str | None, at: list[Known]) -> Known | None:
    """One that reports: its word on its own addresses counts, while it is there to give it."""
    for one in at:
        fits = mac is None or not one.macs or mac in one.macs
        if one.reports and ip in one.ips and (one.online or fits):
            return one
    return None


def _same_place(ip: str, mac: str | None, at: list[Known]) -> Known | None:
    """Known by the address alone: it has it, or had it last and has shown nothing better."""
    at = [k for k in at if not k.reports and not (mac and k.macs)]
    present = [k for k in at if ip in k.ips]
    former = [k for k in at if ip in k.former and not k.macs]
    return next(iter(present), None) or max(former, key=lambda k: k.former[ip], default=None)


# --- rows


def kept(services: Sequence[Mapping[str, Any]]) -> Values:
    """Services as they are kept, the surest first; and what that one is."""
    best = services[0] if services else {"name": "", "title": "", "category": ""}
    return {
        "services": list(services),
        "service": best["name"],
        "service_title": best["title"],
        "service_category": best["category"],
    }


def host_values(
    stored: Row | None,
    entries: Sequence[tuple[Who, Values]],
    ips: Collection[str],
    now: float,
    *,
    reports: bool = False,
) -> Values:
    """What a host's row shall say after a scan; what the scan could not see stays.

    ``entries`` are what was seen of it, with its services as they are kept; ``ips`` its addresses
    from now on. Of one that ``reports`` by itself only what a scan alone can see is touched.
    """
    before = stored or _EMPTY
    seen = [who.seen for who, _ in entries]
    services = next((kept for _, kept in entries if kept["services"]), None)
    depth = max((*(s.depth.value for s in seen), before["depth"]), key=DEPTHS.index)
    looked = any(s.depth is not Depth.NONE for s in seen)
    values = {
        "mac": next((who.mac for who, _ in entries if who.mac), None) or before["mac"],
        "vendor": next((s.vendor for s in seen if s.vendor), before["vendor"]),
        "round_trip_ms": next(
            (s.round_trip_ms for s in seen if s.round_trip_ms is not None), before["round_trip_ms"]
        ),
        **(services or {column: before[column] for column in kept(())}),
        "depth": depth,
        "ports_at": now if looked else before["ports_at"],
        "all_open": any(s.all_open for s in seen) or (before["all_open"] and not looked),
        "hostname": before["hostname"],
        "name": before["name"],
        "name_order": name_order(before["name"]),
    }
    if reports:
        return values | {"mac": before["mac"] or values["mac"]}
    hostname = next((s.names[0] for s in seen if s.names), before["hostname"])
    own = before["given_name"] or hostname
    at = before["name"] if before["name"] in ips else min(ips, key=by_number, default="")
    name = own or at
    return values | {"hostname": hostname, "name": name, "name_order": name_order(name)}


_EMPTY: Values = {
    "mac": None,
    "vendor": "",
    "round_trip_ms": None,
    **kept(()),
    "depth": Depth.NONE.value,
    "ports_at": None,
    "all_open": False,
    "hostname": "",
    "given_name": None,
    "name": "",
}
HOST_QUIET = frozenset({"round_trip_ms", "services", "depth", "ports_at"})


def by_number(ip: str) -> tuple[int, int]:
    """IPv4 before IPv6, and each by its number and not by its text."""
    address = ip_address(ip)
    return address.version, int(address)


Place = tuple[str, str, str, int]
PORT_KEY = ("host_id", "ip", "protocol", "number")
PORT_QUIET = frozenset({"services", "says", "confidence"})


def port_row(host_id: str, ip: str, told: Mapping[str, Any], stored: Mapping[Place, Row]) -> Values:
    """A port as it shall be kept, of how it is told.

    One that was not asked, or not to the end, and shows nothing keeps what was known of it. It
    keeps a name that it had whatever is said of it, as why it was not asked.
    """
    row = {
        "host_id": host_id,
        "ip": ip,
        "protocol": told["protocol"],
        "number": told["number"],
        "tls": told["tls"],
        "says": told["says"],
        **kept(told["services"]),
        "version": told["services"][0]["version"] if told["services"] else "",
        "confidence": told["services"][0]["confidence"] if told["services"] else 0.0,
    }
    before = stored.get((host_id, ip, row["protocol"], row["number"]))
    is_news = told["asked"] or row["services"] or row["tls"]
    if before and not is_news and (before["service"] or not row["says"]):
        return {name: before[name] for name in row}
    return row


def port_place(row: Row) -> Place:
    return (row["host_id"], row["ip"], row["protocol"], row["number"])


def compared(
    scan: Scan, whose: Mapping[tuple[str, str], Depth], stored: Iterable[Row]
) -> list[Row]:
    """Of the stored ports those that this scan would have seen; ``whose`` depth by host and
    address."""
    every = any(first <= 1 and last >= 65535 for first, last in scan.looked_at)
    looked = set() if every else {n for a, b in scan.looked_at for n in range(a, b + 1)}
    return [
        row
        for row in stored
        if whose[row["host_id"], row["ip"]] is not Depth.NONE
        and row["protocol"] == "tcp"
        and (every or row["number"] in looked)
    ]


def nearest(block: IpNetwork, subnets: Iterable[Row]) -> Row | None:
    """The subnet that a block lies in: the smallest that a machine has told of, its own before a
    shared one; else the smallest that was only assumed."""
    inside = []
    for row in subnets:
        network = ip_network(row["cidr"])
        if network.version == block.version and block.subnet_of(network):  # type: ignore[arg-type]
            inside.append((row["source"] != "scan", network.prefixlen, row["scope"], row))
    return max(inside, key=lambda found: found[:3])[3] if inside else None


def assumed(told: IpNetwork) -> IpNetwork:
    """The subnet that is assumed where nobody has told of one: a single address lies in more."""
    widest = BLOCK_PREFIX if told.version == 4 else 64
    return told.supernet(new_prefix=widest) if told.prefixlen > widest else told


# --- news


def host_news(values: Row, ip: str) -> str:
    """``new host 192.168.1.40 (Raspberry Pi)``"""
    name = values["name"] if values["name"] == ip else f"{values['name']} at {ip}"
    what = values["service_title"] or values["vendor"]
    return f"new host {name}" + (f" ({what})" if what else "")


def moved_news(name: str, before: Collection[str], now: Collection[str]) -> str | None:
    """What there is to say of a host that had addresses and has others."""
    if not before and now:
        return f"{name} answers again, at {_some(now)}"
    if before and not now:
        return f"{name} does not answer any more, at {_some(before)}"
    if set(before) != set(now):
        return f"{name} is now at {_some(now)}, and was at {_some(before)}"
    return None


def _some(ips: Collection[str]) -> str:
    first = sorted(ips, key=by_number)
    return ", ".join(first[:3]) + (f" and {len(first) - 3} more" if len(first) > 3 else "")


def port_news(name: str, before: Row | None, row: Row | None) -> str:
    """What there is to say of a port that is new, other, or (``row`` None) closed."""
    shown = row or before
    assert shown is not None
    place = f"{name}: port {shown['number']}/{shown['protocol']}"
    what = " ".join(filter(None, (shown["service_title"], shown["version"])))
    if row is None:
        return f"{place} closed" + (f" ({what})" if what else "")
    if before is None or before["gone_at"] is not None:
        return f"{place} opened" + (f" ({what})" if what else "")
    return f"{place} is {what or 'not known any more'}"


def is_news(host: Row | None, now: Row, before: Row | None, row: Row) -> bool:
    """Whether a port that is new or other is worth a line: something happened there.

    Not what is seen because a scan looked at a host for the first time, or deeper than ever; nor
    that it is now known what a port is.
    """
    if before is not None and before["gone_at"] is None:
        named = bool(before["service"] and row["service"])
        versions = bool(before["version"] and row["version"])
        other = before["service"] != row["service"]
        return named and (other or (versions and before["version"] != row["version"]))
    if host is None or host["depth"] == Depth.NONE.value:
        return False
    return before is not None or DEPTHS.index(now["depth"]) <= DEPTHS.index(host["depth"])
