"""Pure. Remote hosts and forwards as rows, and what of their changes is worth telling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mooring.model import wire
from mooring.model.event import Operation
from mooring.model.forward import Forward, ForwardState, LinkState, Moment, Reported
from mooring.server.merge import Difference, Row, Values

_SETTLED = {
    LinkState.LIVE: "live",
    LinkState.BACKOFF: "lost",
    LinkState.BLOCKED: "blocked",
    LinkState.STOPPED: "stopped",
}

QUIET_REMOTE = frozenset(
    {"since", "consecutive_failures", "docker", "ping_ms", "diagnosis", "totals", "detail"}
)
QUIET_FORWARD = frozenset({"since", "connections", "bytes_in", "bytes_out", "detail"})


@dataclass(frozen=True, slots=True)
class News:
    """One change that is worth telling; ``word`` is what it is counted as among many."""

    operation: Operation
    id: str
    title: str
    word: str


# --- rows


def remote_row(r: Reported, before: Row | None) -> Values:
    """The columns of a remote host; ``before`` is its row as it is stored."""
    remote = r.remote
    settled = before["settled"] if before and before["gone_at"] is None else ""
    return {
        "address": remote.host,
        "state": remote.state.value,
        "settled": _SETTLED.get(remote.state, settled),
        "since": remote.since,
        "generation": remote.generation,
        "consecutive_failures": remote.consecutive_failures,
        "docker": remote.docker,
        "ping_ms": remote.ping_ms,
        "last_drop": wire.to_builtins(remote.last_drop),
        "detail": remote.detail,
        "diagnosis": wire.to_builtins(r.diagnosis),
        "totals": wire.to_builtins(r.totals),
    }


def forward_row(f: Forward) -> Values:
    place = f.local or f.remote
    return {
        "place": place,
        "protocol": f.protocol,
        "container": f.container,
        "local": f.local,
        "remote": f.remote,
        "port": _port(place),
        "state": f.state.value,
        "since": f.since,
        "connections": f.connections,
        "bytes_in": f.bytes_in,
        "bytes_out": f.bytes_out,
        "detail": f.detail,
    }


def _port(place: str) -> int:
    port = place.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0


def moment_rows(history: Iterable[Moment]) -> list[Values]:
    return [
        {
            "at": m.at,
            "what": m.what,
            "place": m.place,
            "container": m.container,
            "detail": m.detail,
        }
        for m in history
    ]


# --- news


def link_news(before: Row | None, after: Values) -> str | None:
    """What a report tells of the link to a remote host: a title, or None."""
    address, detail = after["address"], _told(after["detail"])
    if before is None:
        return f"{address} is forwarded"
    if before["gone_at"] is not None:
        return f"{address} is forwarded again"
    if after["settled"] != before["settled"]:
        match after["settled"]:
            case "live":
                # The first link of a program that was just started brings nothing back.
                return f"Link to {address} is {'back' if after['generation'] > 1 else 'live'}"
            case "lost":
                lost = f"Link to {address} lost" if after["generation"] else f"No link to {address}"
                return lost + detail
            case "blocked":
                return f"Link to {address} blocked{detail}"
            case _:
                return f"Forwarding of {address} stopped"
    if after["state"] != LinkState.LIVE.value or after["generation"] == before["generation"]:
        return None
    # It was lost and is back between two reports.
    drop = after["last_drop"]
    if drop and drop != before["last_drop"] and drop["seconds"] is not None:
        pattern = drop["pattern"].replace("_", " ")
        return f"Link to {address} was away for {drop['seconds']:g} s ({pattern})"
    return f"Link to {address} was made anew"


def forward_news(address: str, before: dict[str, Row], part: Difference) -> list[News]:
    """What a report tells of the forwards of a remote host; ``before`` are its rows by id."""
    found = [_began(address, values, values["id"]) for values in part.new]
    for change in part.changed:
        old = before[change.id]
        if old["gone_at"] is not None:
            found.append(_began(address, change.values, change.id))
        elif _kind(old) != _kind(change.values):
            title, word = _title(address, change.values)
            found.append(News(Operation.CHANGED, change.id, title, word))
        elif old["remote"] != change.values["remote"]:
            title = f"{_name(address, change.values)} leads to {change.values['remote']}"
            found.append(News(Operation.CHANGED, change.id, title, "led elsewhere"))
    for row_id in part.gone:
        row = before[row_id]
        title = f"{_name(address, row)} closed"
        if _kind(row) != "opened":
            title = f"{_name(address, row)} is wanted no longer"
        found.append(News(Operation.DELETED, row_id, title, "closed"))
    return found


def summary(address: str, news: Iterable[News]) -> str:
    """Many changes in one title."""
    words = Counter(n.word for n in news)
    counted = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
    return f"Forwards of {address}: {counted}"


def _began(address: str, values: Values, row_id: str) -> News:
    title, word = _title(address, values)
    return News(Operation.CREATED, row_id, title, word)


def _title(address: str, values: Values) -> tuple[str, str]:
    name, kind = _name(address, values), _kind(values)
    if kind == "opened":
        return f"{name} opened", kind
    return f"{name}: {kind}{_told(values['detail'])}", kind


def _kind(row: Row) -> str:
    """What a state comes to for a person: a held forward is as open as one that listens."""
    state = row["state"]
    if state in (ForwardState.CONFLICT.value, ForwardState.UNSUPPORTED.value):
        return str(state)
    return "opened"


def _name(address: str, row: Row) -> str:
    place = row["local"] or f"of port {row['remote']}"
    udp = "" if row["protocol"] == "tcp" else f"/{row['protocol']}"
    return f"Forward {place}{udp} to {row['container']} on {address}"


def _told(detail: str) -> str:
    return f": {detail[:200]}" if detail else ""
