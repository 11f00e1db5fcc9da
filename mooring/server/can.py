"""Pure. CAN drivers, buses and recoveries as rows, and what of their changes is worth telling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from mooring.model import wire
from mooring.model.can import BusHealth, CanWiring, Finding, Health, Recovered, Recovery, Weight
from mooring.server.merge import Row, Values

COUNTERS = ("received", "sent", "dropped")
MOST = 2**53
"""Where counting ends: every database and every reader of JSON has numbers up to here."""
MAX_NAMED = 5
"""Of more endpoints than this only the number is told."""
_UNWIRED = "created"
"""The state of an endpoint without a container."""


class Condition(StrEnum):
    """How a bus is."""

    HEALTHY = "healthy"
    FAULTY = "faulty"
    """Its interface is there and up, and frames do not get where they should."""
    DOWN = "down"
    MISSING = "missing"


# --- rows


def driver_row(w: CanWiring) -> Values:
    """The columns of a machine's driver, with the findings that are of no bus."""
    return {
        "identity": w.identity,
        "version": w.driver,
        "modules": dict(w.health.modules),
        "findings": wire.to_builtins(_by_bus(w.health)[""]),
        "totals": wire.to_builtins(w.totals),
    }


def bus_rows(health: Health, before: Mapping[str, Row]) -> list[Values]:
    """The columns of each bus; ``before`` are the buses' rows by device, as they are stored."""
    findings = _by_bus(health)
    return [_bus_row(b, findings[b.device], before.get(b.device)) for b in health.buses]


def _bus_row(b: BusHealth, findings: Sequence[Finding], before: Row | None) -> Values:
    endpoints = wire.to_builtins(b.endpoints)
    return {
        "device": b.device,
        "networks": list(b.networks),
        "present": b.present,
        "up": b.up,
        "physical": b.physical,
        "state": b.state,
        "condition": _condition(b, findings).value,
        "rules_wanted": b.rules_wanted,
        "rules_present": b.rules_present,
        "findings": wire.to_builtins(findings),
        "endpoints": endpoints,
        **_grown(before, endpoints),
    }


def _condition(b: BusHealth, findings: Iterable[Finding]) -> Condition:
    if not b.present:
        return Condition.MISSING
    if not b.up:
        return Condition.DOWN
    if any(f.weight is Weight.ERROR for f in findings):
        return Condition.FAULTY
    return Condition.HEALTHY


def _grown(before: Row | None, endpoints: Iterable[Mapping[str, Any]]) -> Values:
    """What has passed on the bus since it is known.

    An endpoint's own figures end with it, and begin again when its rules are made anew: their
    sum would fall, and whoever takes rates of it see traffic that never was.
    """
    known = {e["id"]: e for e in before["endpoints"]} if before else {}
    grown = {name: before[name] if before else 0 for name in COUNTERS}
    for endpoint in endpoints:
        last = known.get(endpoint["id"], {})
        for name in COUNTERS:
            now, then = endpoint[name], last.get(name, 0)
            grown[name] += now - then if now >= then else now
    return {name: min(count, MOST) for name, count in grown.items()}


def _by_bus(health: Health) -> dict[str, list[Finding]]:
    """Findings by the device of the bus that each is about; those about none are under ``""``."""
    about: dict[str, str] = {}
    for b in health.buses:
        for e in b.endpoints:
            about[f"endpoint {e.id[:12]}"] = b.device
            about[e.interface] = b.device
    about |= {b.device: b.device for b in health.buses}
    found: dict[str, list[Finding]] = {"": [], **{b.device: [] for b in health.buses}}
    for finding in health.findings:
        found[about.get(finding.subject, "") if finding.subject else ""].append(finding)
    return found


def recovery_rows(recoveries: Iterable[Recovery]) -> list[Values]:
    return [
        {"at": r.at, "kind": r.kind.value, "device": r.device, "subject": r.subject}
        for r in recoveries
    ]


# --- news


def driver_news(machine: str, before: Row | None, after: Values) -> str | None:
    """What a report tells of the driver itself: a title, or None."""
    if before is not None and bool(before["version"]) == bool(after["version"]):
        return None
    if not after["version"]:
        return f"CAN driver on {machine} does not answer"
    return f"CAN driver on {machine} answers{' again' if before else ''}"


def bus_news(machine: str, before: Row | None, after: Values) -> list[str]:
    """What a report tells of one bus: at most one title of the bus, and one of its endpoints."""
    name, condition = bus_name(after["device"], machine), _told(after)
    well = after["condition"] == Condition.HEALTHY.value
    if before is None or before["gone_at"] is not None:
        appeared = f"{name} appeared{' again' if before else ''}"
        return [appeared if well else f"{appeared}, and {condition}"]
    titles = []
    if after["condition"] != before["condition"]:
        titles.append(f"{name} is healthy again" if well else f"{name} {condition}")
    return titles + _endpoint_news(name, before["endpoints"], after["endpoints"])


def _told(row: Values) -> str:
    match row["condition"]:
        case Condition.HEALTHY.value:
            return "is healthy"
        case Condition.FAULTY.value:
            errors = (f for f in row["findings"] if f["weight"] == Weight.ERROR.value)
            return "; ".join(
                f["what"] if f["subject"] == row["device"] else f"{f['subject']}: {f['what']}"
                for f in errors
            ).join(("is faulty (", ")"))
        case condition:
            return f"is {condition}"


def _endpoint_news(
    name: str, before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]
) -> list[str]:
    had, has = (
        # Keys, and no set: they keep their order.
        dict.fromkeys(e["id"] for e in endpoints if e["state"] != _UNWIRED)
        for endpoints in (before, after)
    )
    joined = [one for one in has if one not in had]
    left = [one for one in had if one not in has]
    told = [f"{_some(ids)} {verb}" for verb, ids in (("joined", joined), ("left", left)) if ids]
    return [f"{name}: {', '.join(told)}"] if told else []


def _some(ids: Sequence[str]) -> str:
    if len(ids) > MAX_NAMED:
        return f"{len(ids)} endpoints"
    return f"endpoint{'s' if len(ids) > 1 else ''} {', '.join(one[:12] for one in ids)}"


def recovery_news(machine: str, recovery: Values) -> str:
    subject = recovery["subject"]
    match recovery["kind"]:
        case Recovered.NETWORK.value:
            what = f"network {subject[:12]} known again"
        case Recovered.DEVICE.value:
            what = "its interface made again"
        case Recovered.ENDPOINT.value:
            what = f"endpoint {subject[:12]} known again"
        case Recovered.PAIR.value:
            what = f"the pair of endpoint {subject[:12]} made again"
        case Recovered.RULES.value:
            what = f"{subject or 'rules'} made again"
        case _:
            what = f"{subject} taken away, which was left over"
    return f"{bus_name(recovery['device'], machine)}: {what}"


def recoveries_summary(machine: str, device: str, recoveries: Iterable[Values]) -> str:
    """Many recoveries of one device in one title."""
    kinds = Counter(r["kind"] for r in recoveries)
    counted = ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items()))
    return f"{bus_name(device, machine)}: mended {counted}"


def bus_name(device: str, machine: str) -> str:
    return f"CAN bus {device} on {machine}" if device else f"CAN on {machine}"
