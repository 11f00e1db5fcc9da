"""Pure. The JSON of Docker and Podman in, our nouns and what was set aside out; never asks.

Shapes are those of Docker's Engine API 1.24 to 1.52, which Podman's compatible API follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from mooring.core import parse
from mooring.core.aside import SHOWN, Aside
from mooring.core.parse import cut
from mooring.model.container import (
    Attachment,
    Container,
    EngineKind,
    EngineNetwork,
    PublishedPort,
)
from mooring.model.net import IpAddress, IpNetwork, Subnet, SubnetKind
from mooring.model.report import SetAside

Noun = TypeVar("Noun")
Shape = TypeVar("Shape")

Listed: TypeAlias = tuple[tuple[Noun, ...], tuple[SetAside, ...]]
"""What could be read of a list, and what was set aside."""

NEWEST_API = (1, 52)
"""The newest API that we ask for; a newer engine speaks it still."""

MAX_CONTAINERS_BYTES = 4 * 1024 * 1024
"""How much one engine's containers may weigh in a report, of the 16 MiB that it may have."""
MAX_NETWORKS = 2_000
MAX_SUBNETS = 20
"""Of one network."""
MAX_PORTS = 2_000
"""Of one container: a published range of 1,000 ports comes as 2,000, for IPv4 and for IPv6."""
MAX_ATTACHMENTS = 200
MAX_LABELS = 100
MAX_LABEL_NAME = 200
MAX_LABEL_VALUE = 1_000
MAX_NAME = 253
MAX_ID = 128
MAX_LINE = 500


class WrongShape(ValueError):
    """An answer as a whole is not what an engine says."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


@dataclass(frozen=True, slots=True)
class Version:
    """What an engine says of itself. The API versions are (major, minor)."""

    kind: EngineKind
    version: str
    """The engine's own version, ``20.10.24``."""
    api: tuple[int, int]
    """The newest that it speaks."""
    min_api: tuple[int, int] | None = None
    """The oldest that it speaks, where it says so."""

    @property
    def spoken(self) -> str:
        """The API version to ask it with: ``1.41``.

        The newest that both sides know; an engine that demands a newer one gets the oldest it
        takes, for what we read has not changed in ten years.
        """
        chosen = min(self.api, NEWEST_API)
        if self.min_api is not None:
            chosen = max(chosen, self.min_api)
        return f"{chosen[0]}.{chosen[1]}"


# --- the shapes as they come


class _Component(Struct, rename="pascal"):
    name: str = ""


class _Version(Struct, rename="pascal"):
    api_version: str
    version: str = ""
    min_api_version: str | None = field(default=None, name="MinAPIVersion")
    components: list[_Component] | None = None


class _Health(Struct, rename="pascal"):
    status: str = ""


class _Settings(Struct, rename="pascal"):
    networks: dict[str, Raw] | None = None


class _Container(Struct, rename="pascal"):
    id: str
    names: list[str] | None = None
    image: str | None = None
    created: float | None = None
    ports: list[Raw] | None = None
    labels: dict[str, str] | None = None
    state: str = ""
    status: str = ""
    health: _Health | None = None
    network_settings: _Settings | None = None


class _Port(Struct, rename="pascal"):
    private_port: int
    public_port: int | None = None
    type: str = "tcp"
    ip: str | None = field(default=None, name="IP")


class _Endpoint(Struct, rename="pascal"):
    ip_address: str | None = field(default=None, name="IPAddress")
    global_ipv6_address: str | None = field(default=None, name="GlobalIPv6Address")
    mac_address: str | None = None
    endpoint_id: str | None = field(default=None, name="EndpointID")


class _Ipam(Struct, rename="pascal"):
    config: list[Raw] | None = None


class _Network(Struct, rename="pascal"):
    id: str
    name: str
    driver: str = ""
    ipam: _Ipam | None = field(default=None, name="IPAM")
    options: dict[str, str] | None = None


class _IpamConfig(Struct, rename="pascal"):
    subnet: str
    gateway: str | None = None


# --- reading


def version(answer: bytes) -> Version:
    """Read the answer to ``/version``. Raises ``WrongShape``."""
    said = whole(answer, _Version, "a version with an ApiVersion")
    podman = any(c.name.lower().startswith("podman") for c in said.components or ())
    return Version(
        kind=EngineKind.PODMAN if podman else EngineKind.DOCKER,
        version=cut(said.version, 100),
        api=_api(said.api_version),
        min_api=_api(said.min_api_version) if said.min_api_version else None,
    )


def containers(answer: bytes) -> Listed[Container]:
    """Read the answer to ``/containers/json``: containers by their order there.

    A container that makes no sense is set aside, and so is a port or an attachment without its
    container. Texts, labels and the whole are bounded. Raises ``WrongShape``.
    """
    reader = _Reader()
    items = whole(answer, list[Raw], "a list of containers")
    found = reader.aside.distinct("container", items, reader.container, lambda c: c.id)
    return reader.fitting(found), reader.aside.items


def fitting(found: tuple[Container, ...]) -> Listed[Container]:
    """As many as a report has room for, and their labels in what room is then left."""
    reader = _Reader()
    return reader.fitting(found), reader.aside.items


def networks(answer: bytes, kind: EngineKind = EngineKind.DOCKER) -> Listed[EngineNetwork]:
    """Read the answer to ``/networks``: networks by their order there, subnets in each.

    Raises ``WrongShape``.
    """
    reader = _Reader()
    items = reader.aside.first(
        "network", whole(answer, list[Raw], "a list of networks"), MAX_NETWORKS
    )
    found = reader.aside.distinct(
        "network", items, lambda raw: reader.network(raw, kind), lambda n: n.id
    )
    return found, reader.aside.items


def message(answer: bytes) -> str:
    """What an engine's error says, in one line of at most 300 characters; "" for nothing."""
    try:
        said = msgspec.json.decode(answer)
    except (ValueError, RecursionError):
        said = answer[:2000].decode("utf-8", "replace")
    text = said.get("message", "") if isinstance(said, dict) else said
    return " ".join(cut(text, 300).split()) if isinstance(text, str) else ""


class _Reader:
    """Reads items and collects those that are set aside."""

    def __init__(self) -> None:
        self.aside = Aside()

    # Containers

    def container(self, raw: Raw) -> Container:
        c = msgspec.json.decode(raw, type=_Container)
        if not re.fullmatch(r"[0-9a-f]{12,128}", c.id):
            raise ValueError(f"expected 12 to 128 hexadecimal digits as Id, got {c.id[:SHOWN]!r}")
        name = _name(c.names or []) or c.id[:12]
        labels = c.labels or {}
        return Container(
            id=c.id,
            name=name,
            image=cut(c.image or "", MAX_LINE),
            state=cut(c.state, 64),
            status=cut(c.status, MAX_LINE),
            health=_health(c),
            created_at=c.created if c.created and 0 < c.created < 1e11 else None,
            ports=self._ports(c.ports or [], name),
            attachments=self._attachments(c.network_settings, name),
            labels=_labels(labels),
            compose_project=_compose(labels, "project"),
            compose_service=_compose(labels, "service"),
        )

    def _ports(self, raws: list[Raw], name: str) -> tuple[PublishedPort, ...]:
        """In order of the container's port, so that two looks at the same give the same."""
        found = set()
        for raw in self.aside.first("port", raws, MAX_PORTS, f" of {name}"):
            try:
                found.add(_port(raw))
            except ValueError as error:
                self.aside.put("port", raw, f"of container {name}: {error}")
        return tuple(sorted(found, key=by_port))

    def _attachments(self, settings: _Settings | None, name: str) -> tuple[Attachment, ...]:
        networks = (settings.networks if settings else None) or {}
        names = self.aside.first("attachment", sorted(networks), MAX_ATTACHMENTS, f" of {name}")
        found = []
        for network in names:
            try:
                found.append(_attachment(network, networks[network]))
            except ValueError as error:
                where = f"of container {name} in {cut(network, MAX_NAME)}"
                self.aside.put("attachment", networks[network], f"{where}: {error}")
        return tuple(found)

    def fitting(self, found: tuple[Container, ...]) -> tuple[Container, ...]:
        """As many as a report has room for, and their labels in what room is then left."""
        left = MAX_CONTAINERS_BYTES
        kept = []
        for container in found:
            if _weight(container) > left:
                self.aside.put("container", container.name, "a report has no room for more")
                continue
            left -= _weight(container)
            kept.append(container)
        for place, container in enumerate(kept):
            weight = len(msgspec.json.encode(container.labels)) if container.labels else 0
            if weight > left:
                self.aside.put("labels", container.name, "a report has no room for more")
                kept[place] = replace(container, labels=())
            else:
                left -= weight
        return tuple(kept)

    # Networks

    def network(self, raw: Raw, kind: EngineKind) -> EngineNetwork:
        n = msgspec.json.decode(raw, type=_Network)
        if not re.fullmatch(r"[\w.-]{1,128}", n.id, re.ASCII):
            raise ValueError(f"expected 1 to 128 letters and digits as Id, got {n.id[:SHOWN]!r}")
        name, driver = cut(n.name, MAX_NAME), cut(n.driver, 64)
        bridge = _bridge(n, kind)
        if kind is EngineKind.PODMAN and name == "bridge":
            # Podman's own commands, and its containers, call their default network so; only
            # its list for Docker's clients calls it "bridge".
            name = "podman"
        subnets: dict[IpNetwork, Subnet] = {}
        items = (n.ipam.config if n.ipam else None) or []
        for item in self.aside.first("subnet", items, MAX_SUBNETS, f" of {name}"):
            try:
                config = msgspec.json.decode(item, type=_IpamConfig)
                cidr = parse.cidr(config.subnet)  # older engines took host bits
            except (ValueError, RecursionError) as error:
                self.aside.put("subnet", item, f"of network {name}: {error}")
                continue
            subnets.setdefault(
                cidr,
                Subnet(
                    cidr=cidr,
                    kind=_subnet_kind(driver, kind),
                    interface=bridge or parse.interface((n.options or {}).get("parent")),
                    name=name,
                    gateway=self._gateway(config.gateway, cidr, name),
                ),
            )
        return EngineNetwork(n.id, name, driver, tuple(subnets.values()), bridge)

    def _gateway(self, text: str | None, cidr: IpNetwork, name: str) -> IpAddress | None:
        """A network's gateway; it may lie outside of its subnet, as fe80::1 does."""
        try:
            gateway = parse.ip(text)
            if gateway is not None and gateway.version != cidr.version:
                raise ValueError(f"{gateway} is not of the family of {cidr}")
        except ValueError as error:
            self.aside.put("gateway", text, f"of network {name}: {error}")
            return None
        return gateway


# --- single values


def whole(answer: bytes, shape: type[Shape], expected: str) -> Shape:
    try:
        return msgspec.json.decode(answer, type=shape)
    except msgspec.ValidationError as error:
        raise WrongShape(expected, f"other JSON: {error}") from error
    except (ValueError, RecursionError) as error:
        start = answer[:60].decode("utf-8", "replace")
        raise WrongShape(expected, f"what is not JSON: {start!r}") from error


def _api(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text, re.ASCII)
    if match is None:
        raise WrongShape("an API version such as 1.41", repr(text[:SHOWN]))
    return int(match[1]), int(match[2])


def _name(names: list[str]) -> str:
    """The container's own name: other names are those that links to it gave, ``/web/db``."""
    own = [n for n in names if "/" not in n.removeprefix("/")]
    return cut((own or names or [""])[0].removeprefix("/"), MAX_NAME)


HEALTHS = ("healthy", "unhealthy", "starting")


def _health(c: _Container) -> str | None:
    """From its own field (API 1.52), else from the end of ``Up 3 hours (health: starting)``."""
    if c.health is not None and c.health.status:
        return c.health.status if c.health.status in HEALTHS else None
    match = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", c.status)
    return match[1] if match else None


def _labels(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Sorted by name; the first ``MAX_LABELS``, and each cut to its bounds."""
    return tuple(
        (cut(name, MAX_LABEL_NAME), cut(labels[name], MAX_LABEL_VALUE))
        for name in sorted(labels)[:MAX_LABELS]
    )


def _compose(labels: dict[str, str], what: str) -> str | None:
    """Docker's compose, and podman-compose, which has names of its own beside them."""
    for maker in ("com.docker.compose", "io.podman.compose"):
        if value := labels.get(f"{maker}.{what}"):
            return cut(value, MAX_NAME)
    return None


def _port(raw: Raw) -> PublishedPort:
    p = msgspec.json.decode(raw, type=_Port)
    return PublishedPort(
        protocol=protocol(p.type),
        container_port=port_number(p.private_port),
        host_ip=parse.ip(p.ip) if p.public_port else None,
        host_port=port_number(p.public_port) if p.public_port else None,
    )


def protocol(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]{1,16}", text.lower()):
        raise ValueError(f"expected a protocol such as tcp, got {text[:SHOWN]!r}")
    return text.lower()


def port_number(number: int) -> int:
    if not 1 <= number <= 65535:
        raise ValueError(f"expected a port from 1 to 65535, got {number}")
    return number


def by_port(port: PublishedPort) -> tuple[Any, ...]:
    ip = port.host_ip
    return (
        port.container_port,
        port.protocol,
        port.host_port or 0,
        ip.version if ip else 0,
        int(ip) if ip else 0,
    )


def _attachment(network: str, raw: Raw) -> Attachment:
    e = msgspec.json.decode(raw, type=_Endpoint | None) or _Endpoint()
    return Attachment(
        network=cut(network, MAX_NAME),
        ip=parse.ip(e.ip_address),
        ip6=parse.ip(e.global_ipv6_address),
        mac=parse.mac(e.mac_address),
        endpoint=cut(e.endpoint_id or "", MAX_ID) or None,
    )


def _bridge(n: _Network, kind: EngineKind) -> str | None:
    """The bridge of a network of driver bridge; Podman names its own and does not tell."""
    if n.driver != "bridge":
        return None
    if named := parse.interface((n.options or {}).get("com.docker.network.bridge.name")):
        return named
    if kind is EngineKind.PODMAN:
        return None
    return "docker0" if n.name == "bridge" else f"br-{n.id[:12]}"


def _subnet_kind(driver: str, kind: EngineKind) -> SubnetKind:
    if driver == "bridge":
        podman = kind is EngineKind.PODMAN
        return SubnetKind.PODMAN_BRIDGE if podman else SubnetKind.DOCKER_BRIDGE
    if driver in ("macvlan", "ipvlan"):
        return SubnetKind.MACVLAN
    return SubnetKind.OVERLAY if driver == "overlay" else SubnetKind.UNKNOWN


def _weight(container: Container) -> int:
    """About how many bytes a container is in a report, without its labels."""
    texts = (container.name, container.image, container.status)
    lists = 110 * len(container.ports) + 560 * len(container.attachments)
    return 600 + len(msgspec.json.encode(texts)) + lists
