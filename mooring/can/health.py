"""Pure. What shall be against what is, bus by bus: findings for a person, figures for a table.

The journal's nouns and the kernel's in; a ``Health`` out. Asks and mends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mooring.can import recover, wiring
from mooring.can.recover import Condition
from mooring.model.can import (
    BusHealth,
    Endpoint,
    EndpointHealth,
    Finding,
    FoundRule,
    Health,
    Link,
    Network,
    Weight,
)

REPAIR = "run `sudo mooring can repair`"
_BUS_OFF = 3
_STATES = ("active", "warning", "passive", "bus-off", "stopped", "sleeping")


def check(
    networks: Mapping[str, Network],
    endpoints: Mapping[str, Endpoint],
    links: Iterable[Link],
    rules: Sequence[FoundRule],
    modules: Mapping[str, bool],
    how: Mapping[str, Condition],
) -> Health:
    """Every network and endpoint against the kernel. ``how`` is the condition of each endpoint."""
    links = list(links)
    buses: list[BusHealth] = []
    findings: list[Finding] = []
    for device in dict.fromkeys(network.device for network in networks.values()):
        its = [network for network in networks.values() if network.device == device]
        members = [
            (one, networks[one.network])
            for one in endpoints.values()
            if one.network in networks and networks[one.network].device == device
        ]
        buses.append(_bus(device, its, members, links, rules, how, findings))
    if not modules.get("can-gw", True):
        weight = Weight.ERROR if any(one.wired for one in endpoints.values()) else Weight.WARNING
        findings.append(Finding(weight, "can-gw", "not loaded", "run `modprobe can-gw`"))
    findings += [
        Finding(Weight.WARNING, left.name, "ours, and belongs to nothing that is known", REPAIR)
        for left in recover.leftovers(networks, endpoints, links)
    ]
    return Health(modules, tuple(buses), tuple(findings))


def _bus(
    device: str,
    its: Sequence[Network],
    members: Sequence[tuple[Endpoint, Network]],
    links: Sequence[Link],
    rules: Sequence[FoundRule],
    how: Mapping[str, Condition],
    findings: list[Finding],
) -> BusHealth:
    link = next((one for one in links if one.name == device), None)
    physical = its[0].physical
    found = recover.pairs(links)
    state = "" if link is None or link.state is None else _state(link.state)
    _device(device, link, its[0], state, findings)
    parties: list[wiring.Party] = []
    for endpoint, network in members:
        pair = found.get(endpoint.id)
        _pair(endpoint, pair, how[endpoint.id], findings)
        if pair is not None and endpoint.wired:
            parties.append(wiring.party(pair.index, endpoint, network.options))
    own = {found[one.id].index for one, _ in members if one.id in found}
    wanted = wiring.rules(link.index, parties) if link else []
    todo = wiring.difference(wanted, rules, own, {link.index} if link else ())
    if todo.add:
        findings.append(Finding(Weight.ERROR, device, f"{len(todo.add)} rules missing", REPAIR))
    if todo.remove:
        text = f"{len(todo.remove)} rules too many"
        findings.append(Finding(Weight.ERROR, device, text, REPAIR))
    return BusHealth(
        device=device,
        networks=tuple(network.id for network in its),
        present=link is not None,
        up=link is not None and link.up,
        physical=physical,
        state=state,
        rules_wanted=len(wanted),
        rules_present=len(wanted) - len(todo.add) + len(todo.remove),
        endpoints=tuple(
            _endpoint(one, network, found.get(one.id), link, rules) for one, network in members
        ),
    )


def _device(
    device: str, link: Link | None, network: Network, state: str, findings: list[Finding]
) -> None:
    if link is None:
        remedy = "plug it in and see that its driver is loaded" if network.physical else REPAIR
        findings.append(Finding(Weight.ERROR, device, "the bus's interface is missing", remedy))
        return
    if not link.can:
        findings.append(Finding(Weight.ERROR, device, "it is no CAN interface"))
    elif not link.up:
        can_set_up = not network.physical or network.options.settings.bitrate is not None
        remedy = REPAIR if can_set_up else f"run `ip link set {device} up type can bitrate …`"
        findings.append(Finding(Weight.ERROR, device, "the bus's interface is down", remedy))
    elif link.state == _BUS_OFF:
        findings.append(
            Finding(
                Weight.ERROR,
                device,
                f"the controller is {state}",
                "look at cabling, termination and bit rate; the option restart_ms lets it recover",
            )
        )
    bitrate = network.options.settings.bitrate
    if link.bitrate is not None and bitrate is not None and link.bitrate != bitrate:
        findings.append(
            Finding(
                Weight.ERROR,
                device,
                f"bitrate {link.bitrate} where {bitrate} is asked for",
                f"run `ip link set {device} down`, then {REPAIR.removeprefix('run ')}",
            )
        )


def _pair(endpoint: Endpoint, pair: Link | None, how: Condition, findings: list[Finding]) -> None:
    subject = f"endpoint {endpoint.id[:12]}"
    if how is Condition.DEAD:
        text = "its container is gone"
        findings.append(
            Finding(Weight.WARNING, subject, text, "it is forgotten with the next call, or repair")
        )
    elif pair is None:
        findings.append(Finding(Weight.ERROR, subject, "its interfaces are missing", REPAIR))
    elif how is Condition.STRAYED:
        text = "its interface is not in its container"
        findings.append(Finding(Weight.ERROR, subject, text, REPAIR))
    elif not pair.up:
        findings.append(Finding(Weight.ERROR, subject, f"{pair.name} is down", REPAIR))


def _endpoint(
    endpoint: Endpoint,
    network: Network,
    pair: Link | None,
    bus: Link | None,
    rules: Sequence[FoundRule],
) -> EndpointHealth:
    """Its traffic, as its rules counted it."""
    access = endpoint.options.access or network.options.access
    index = pair.index if pair else -1
    into = [one for one in rules if one.rule.target == index]
    out = [
        one for one in rules if one.rule.source == index and bus and one.rule.target == bus.index
    ]
    return EndpointHealth(
        id=endpoint.id,
        network=endpoint.network,
        state=endpoint.state.value,
        interface=pair.name if pair else "",
        access=access.value,
        received=sum(one.handled for one in into),
        sent=sum(one.handled for one in out),
        dropped=sum(one.dropped for one in (*into, *out)),
    )


def _state(number: int) -> str:
    return _STATES[number] if number < len(_STATES) else str(number)
