"""Pure. Docker's remote network driver protocol: a verb and a body in, a call out; answers as JSON.

Field names are those of libnetwork's drivers/remote/api. Everything from outside is bounded and
checked here; behind it there are only our nouns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from mooring.core.errors import MooringError

MAX_BODY = 1 << 20
SPEAKER = "mooring-can: "
"""Before every error, so that who reads it in Docker's output knows whose it is."""
CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json"

_ID = re.compile(r"[0-9a-f]{64}")
_MAX_SANDBOX = 4096


class BadCall(MooringError):
    """A call that is not one: with the status that HTTP has for it."""

    def __init__(self, status: int, verb: str, why: str, remedy: str = "") -> None:
        self.status = status
        super().__init__(verb, why, remedy)


@dataclass(frozen=True, slots=True)
class Call:
    """A verb with what it is about; what a verb does not name is empty."""

    verb: str
    network: str = ""
    endpoint: str = ""
    sandbox: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    addressed: bool = False
    """Docker gives addresses: the network was made without ``--ipam-driver null``."""


class _IpamData(msgspec.Struct):
    space: str = msgspec.field(default="", name="AddressSpace")
    pool: str = msgspec.field(default="", name="Pool")


class _Body(msgspec.Struct):
    network: str = msgspec.field(default="", name="NetworkID")
    endpoint: str = msgspec.field(default="", name="EndpointID")
    sandbox: str = msgspec.field(default="", name="SandboxKey")
    options: dict[str, object] | None = msgspec.field(default=None, name="Options")
    ipv4: list[_IpamData] | None = msgspec.field(default=None, name="IPv4Data")
    ipv6: list[_IpamData] | None = msgspec.field(default=None, name="IPv6Data")


_NOTHING: frozenset[str] = frozenset()
_NETWORK = frozenset({"network"})
_BOTH = frozenset({"network", "endpoint"})

VERBS: Mapping[str, frozenset[str]] = {
    "Plugin.Activate": _NOTHING,
    "NetworkDriver.GetCapabilities": _NOTHING,
    "NetworkDriver.GwAllocCheck": _NOTHING,
    "NetworkDriver.CreateNetwork": _NETWORK,
    "NetworkDriver.DeleteNetwork": _NETWORK,
    "NetworkDriver.CreateEndpoint": _BOTH,
    "NetworkDriver.EndpointOperInfo": _BOTH,
    "NetworkDriver.DeleteEndpoint": _BOTH,
    "NetworkDriver.Join": _BOTH,
    "NetworkDriver.Leave": _BOTH,
    "NetworkDriver.DiscoverNew": _NOTHING,
    "NetworkDriver.DiscoverDelete": _NOTHING,
    "Mooring.Status": _NOTHING,
    "Mooring.Repair": _NOTHING,
}
"""Each verb with the ids that it must name."""
OWN = frozenset({"Status", "Repair"})
"""Those that are not Docker's but our commands'."""


def names_something(path: str) -> bool:
    """Whether it is the path of a verb that is about a network, and so has a body."""
    return bool(VERBS.get(path.removeprefix("/")))


def parse(path: str, body: bytes) -> Call:
    """The call of an HTTP request's path and body.

    Raises:
        BadCall: 404 for an unknown verb, 400 for a body that does not say what the verb needs.
    """
    name = path.removeprefix("/")
    needed = VERBS.get(name)
    verb = name.rpartition(".")[2]
    if needed is None:
        raise BadCall(404, "answering a call", f"there is no verb {_shown(name)}")
    if not body.strip():
        if not needed:
            return Call(verb)
        raise BadCall(400, verb, "the body is empty", "repeat the command")
    try:
        told = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadCall(400, verb, f"the body is not the JSON that is expected: {error}") from None
    for kind in sorted(needed, reverse=True):
        got = getattr(told, kind)
        if not _ID.fullmatch(got):
            field_name = {"network": "NetworkID", "endpoint": "EndpointID"}[kind]
            raise BadCall(
                400, verb, f"{field_name} should be 64 hexadecimal digits, and is {_shown(got)}"
            )
    if len(told.sandbox) > _MAX_SANDBOX or "\0" in told.sandbox:
        raise BadCall(400, verb, "SandboxKey is not a path")
    addressed = any(
        data.space != "null" and data.pool not in ("", "0.0.0.0/0")
        for data in (told.ipv4 or []) + (told.ipv6 or [])
    )
    return Call(verb, told.network, told.endpoint, told.sandbox, told.options or {}, addressed)


def of_network(call: Call) -> tuple[str, dict[str, object]]:
    """A call about a network as Docker makes it: its verb's whole name, and its body."""
    return f"NetworkDriver.{call.verb}", {"NetworkID": call.network, "Options": call.options}


@dataclass(frozen=True, slots=True)
class Joined:
    """What Docker is told to put into a container."""

    source: str
    """The present name of the end that goes into the container."""
    prefix: str
    """Of its name in the container, to which Docker adds the lowest free number."""
    name: str | None = None
    """Its whole name there."""


def joined(answer: Joined) -> dict[str, object]:
    interface = {"SrcName": answer.source, "DstPrefix": answer.prefix}
    if answer.name:
        interface["DstName"] = answer.name
    # A CAN interface is no way out: without this the container gets an Ethernet beside it.
    return {"InterfaceName": interface, "DisableGatewayService": True}


ACTIVATED: Mapping[str, object] = {"Implements": ["NetworkDriver"]}
CAPABILITIES: Mapping[str, object] = {
    "Scope": "local",
    "ConnectivityScope": "local",
    # Docker asks then, and is told that a bus needs no gateway's address.
    "GwAllocChecker": True,
}
NO_GATEWAY: Mapping[str, object] = {"SkipIPv4": True, "SkipIPv6": True}


def failed(error: MooringError) -> dict[str, object]:
    """How Docker is told of an error; it shows the text to the user as it is."""
    return {"Err": f"{SPEAKER}{error}"}


def encode(answer: object) -> bytes:
    return msgspec.json.encode(answer)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")
