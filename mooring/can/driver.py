"""The verbs of the network driver: a call in, an answer out. Uses journal and kernel; no HTTP.

One lock for each device: calls on one bus come one after another, those on others beside them. A
call that fails takes back what it made. What Docker told us once is in the journal before it is
answered, so that a crash at any moment leaves what the next call or ``repair`` can put in order.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from mooring import __version__
from mooring.can import bus, names, options, protocol, recover
from mooring.can.buses import Buses
from mooring.can.journal import Journal
from mooring.can.kernel import CanKernel, by_name
from mooring.can.protocol import Call, Joined
from mooring.core.errors import MooringError
from mooring.core.lines import Lines
from mooring.model.can import (
    Calls,
    DriverTotals,
    Endpoint,
    EndpointState,
    Link,
    Network,
    NetworkOptions,
    Recovered,
)


class Driver:
    """Any thread may call it. ``kernel`` opens a connection for one call."""

    def __init__(
        self,
        journal: Journal,
        kernel: Callable[[], CanKernel],
        log: Lines,
        *,
        recover: bool = True,
        strict_ipam: bool = False,
        lives: Callable[[str], bool] | None = None,
        uptime: Callable[[], float] | None = None,
    ) -> None:
        self.journal = journal
        self.log = log
        self.buses = Buses(journal, kernel, log, lives, uptime)
        self.calls: Counter[tuple[str, bool]] = Counter()
        """How many calls of Docker's, by verb and whether they were done."""
        self.seconds: defaultdict[tuple[str, bool], float] = defaultdict(float)
        """How long they took together."""
        self._since = time.time()
        self._recover = recover
        self._strict_ipam = strict_ipam
        self._guard = threading.Lock()
        self._verbs: Mapping[str, Callable[[Call], Mapping[str, object]]] = {
            "Activate": lambda _: protocol.ACTIVATED,
            "GetCapabilities": lambda _: protocol.CAPABILITIES,
            "GwAllocCheck": lambda _: protocol.NO_GATEWAY,
            "CreateNetwork": self._create_network,
            "DeleteNetwork": self._delete_network,
            "CreateEndpoint": self._create_endpoint,
            "EndpointOperInfo": self._endpoint_info,
            "DeleteEndpoint": self._delete_endpoint,
            "Join": self._join,
            "Leave": self._leave,
            "DiscoverNew": lambda _: {},
            "DiscoverDelete": lambda _: {},
            "Status": lambda _: self.status(),
            "Repair": self._repair,
        }

    def answer(self, call: Call) -> Mapping[str, object]:
        """Do what the call asks for.

        Raises:
            MooringError: what could not be done, and the remedy; nothing of it is left.
        """
        began = time.monotonic()
        done = False
        try:
            answer = self._verbs[call.verb](call)
            done = True
        finally:
            if call.verb not in protocol.OWN:
                with self._guard:
                    self.calls[call.verb, done] += 1
                    self.seconds[call.verb, done] += time.monotonic() - began
        return answer

    def status(self) -> Mapping[str, object]:
        """What only this process knows: what it was asked and what it mended."""
        with self._guard:
            calls = tuple(
                Calls(verb, done, count, round(self.seconds[verb, done], 6))
                for (verb, done), count in sorted(self.calls.items())
            )
        recovered = tuple((kind.value, n) for kind, n in sorted(self.buses.recovered.items()))
        return {
            "version": __version__,
            "totals": DriverTotals(self._since, calls, recovered),
            "recoveries": list(self.buses.recoveries),
        }

    def _repair(self, _: Call) -> Mapping[str, object]:
        failed: list[str] = []
        mended = 0
        try:
            mended = self.buses.mend()
        except ExceptionGroup as group:
            failed = [str(error) for error in group.exceptions]
        return {"mended": mended, "failed": failed}

    # --- networks

    def _create_network(self, call: Call) -> Mapping[str, object]:
        given = call.options.get(options.GENERIC)
        asked = options.network_options(given if isinstance(given, Mapping) else {})
        self._check_addresses(call)
        self.buses.await_device(asked, None)
        with (
            self.buses.held(asked.device),
            self.buses.open() as kernel,
            self.buses.undoing() as undo,
        ):
            self._check_others(call.network, asked)
            ready = bus.ready_device(kernel, asked, None, undo, self.log)
            link = ready.link
            physical = not (link.kind == bus.VIRTUAL or names.is_bus_mark(link.alias))
            self.journal.put_network(Network(call.network, asked, physical))
        self.log.info(
            "network_created", network=call.network[:12], device=asked.device, made=ready.made
        )
        return {}

    def _check_addresses(self, call: Call) -> None:
        if not call.addressed:
            return
        remedy = "create the network with --ipam-driver null"
        why = "a CAN bus has no addresses: each would use up a range and put a route in containers"
        if self._strict_ipam:
            raise MooringError(f"creating the network {call.network[:12]}", why, remedy)
        self.log.warning("network_with_addresses", network=call.network[:12], remedy=remedy)

    def _check_others(self, network: str, asked: NetworkOptions) -> None:
        """Two networks may share a device, if they want the same of it."""
        for other in self.journal.networks.values():
            if other.id == network or other.device != asked.device:
                continue
            for what in ("bitrate", "dbitrate", "fd"):
                theirs = getattr(other.options.settings, what)
                ours = getattr(asked.settings, what)
                if None not in (theirs, ours) and theirs != ours:
                    raise options.BadOption(
                        what,
                        f"{theirs}, as for the network {other.id[:12]} on the same device "
                        f"{asked.device}",
                        ours,
                    )

    def _delete_network(self, call: Call) -> Mapping[str, object]:
        network = self.journal.networks.get(call.network)
        if network is None:
            # Also a deletion that could not be written down may be repeated.
            self.journal.drop_network(call.network)
            return {}
        with self.buses.held(network.device), self.buses.open() as kernel:
            members = [
                one.id
                for one, its in self.journal.of_device(network.device)
                if its.id == network.id
            ]
            links = kernel.links()
            found = recover.pairs(links.values())
            with self._finishing() as finish:
                finish.callback(self.journal.drop_network, network.id)
                finish.callback(self.buses.warned, self.journal.drop_endpoints, *members)
                others = [n for n in self.journal.networks.values() if n.id != network.id]
                device = by_name(links.values(), network.device)
                shared = any(other.device == network.device for other in others)
                if device is not None and names.is_bus_mark(device.alias) and not shared:
                    finish.callback(kernel.delete, device.index, device.name)
                for one in members:
                    if one in found:
                        finish.callback(kernel.delete, found[one].index, found[one].name)
        self.log.info("network_deleted", network=network.id[:12], device=network.device)
        return {}

    # --- endpoints

    def _create_endpoint(self, call: Call) -> Mapping[str, object]:
        asked = options.endpoint_options(call.options)
        with (
            self._bus_of(call) as network,
            self.buses.open() as kernel,
            self.buses.undoing() as undo,
        ):
            self.buses.device(kernel, network, undo, make=self._recover)
            self.buses.forget_dead(kernel, network.device)
            self.buses.pair(kernel, call.endpoint, network.id, undo)
            known = self.journal.endpoints.get(call.endpoint)
            if known is not None and known.network == network.id:
                new = replace(known, options=asked)
            else:
                new = Endpoint(call.endpoint, network.id, asked, since=self.buses.uptime())
            self.buses.warned(self.journal.put_endpoint, new)
        self.log.info("endpoint_created", endpoint=call.endpoint[:12], device=network.device)
        return {"Interface": {}}

    def _delete_endpoint(self, call: Call) -> Mapping[str, object]:
        network = self.journal.networks.get(call.network)
        with self.buses.held(network.device if network else ""), self.buses.open() as kernel:
            link = recover.pairs(kernel.links().values()).get(call.endpoint)
            with self._finishing() as finish:
                finish.callback(self.buses.warned, self.journal.drop_endpoints, call.endpoint)
                if link is not None:
                    finish.callback(kernel.delete, link.index, link.name)
        self.log.info("endpoint_deleted", endpoint=call.endpoint[:12])
        return {}

    def _endpoint_info(self, call: Call) -> Mapping[str, object]:
        with self.buses.open() as kernel:
            link = recover.pairs(kernel.links().values()).get(call.endpoint)
        network = self.journal.networks.get(call.network)
        told = {
            "HostInterface": link.name if link else "",
            "Bus": network.device if network else "",
        }
        return {"Value": told}

    def _join(self, call: Call) -> Mapping[str, object]:
        with (
            self._bus_of(call) as network,
            self.buses.open() as kernel,
            self.buses.undoing() as undo,
        ):
            before = self.journal.endpoints.get(call.endpoint)
            endpoint = self._joining(call, before)
            undo.callback(self.buses.warned, self._restore, call.endpoint, before)
            self.buses.warned(self.journal.put_endpoint, endpoint)
            device = self.buses.device(kernel, network, undo, make=self._recover)
            self.buses.forget_dead(kernel, network.device, but=call.endpoint)
            pair = self.buses.pair(kernel, endpoint.id, network.id, undo, make=self._recover)
            if pair.made:
                self.buses.note(Recovered.PAIR, network.device, endpoint.id)
            self.buses.wire(kernel, device, network.device, undo, joining=endpoint.id)
            done = replace(endpoint, state=EndpointState.JOINED, since=self.buses.uptime())
            self.buses.warned(self.journal.put_endpoint, done)
            source = _other_end(kernel, pair.link)
        self.log.info("joined", endpoint=endpoint.id[:12], device=network.device)
        prefix = endpoint.options.peer or network.options.peer
        return protocol.joined(Joined(source, prefix, endpoint.options.ifname))

    def _joining(self, call: Call, known: Endpoint | None) -> Endpoint:
        """The endpoint as it is while it joins; made again if it is not known."""
        if known is None:
            if not self._recover:
                raise MooringError(
                    f"joining endpoint {call.endpoint[:12]}",
                    "it is not known",
                    "start the container again, or serve without --no-recover",
                )
            network = self.journal.networks[call.network]
            self.buses.note(Recovered.ENDPOINT, network.device, call.endpoint)
            known = Endpoint(call.endpoint, call.network)
        elif known.network != call.network:
            raise MooringError(
                f"joining endpoint {call.endpoint[:12]}",
                f"it belongs to the network {known.network[:12]}, not to {call.network[:12]}",
            )
        return replace(
            known, state=EndpointState.JOINING, sandbox=call.sandbox, since=self.buses.uptime()
        )

    def _restore(self, endpoint: str, before: Endpoint | None) -> None:
        if before is None:
            self.journal.drop_endpoints(endpoint)
        else:
            self.journal.put_endpoint(before)

    def _leave(self, call: Call) -> Mapping[str, object]:
        """Take the rules away only: the interface comes back after this, the pair is for later."""
        network = self.journal.networks.get(call.network)
        known = self.journal.endpoints.get(call.endpoint)
        with self.buses.held(network.device if network else ""), self.buses.open() as kernel:
            if known is not None:
                left = replace(known, state=EndpointState.CREATED, since=self.buses.uptime())
                self.buses.warned(self.journal.put_endpoint, left)
            device = by_name(kernel.links().values(), network.device) if network else None
            if network is not None and device is not None:
                # Nothing is taken back: what could be removed shall stay removed.
                with ExitStack() as kept:
                    self.buses.wire(kernel, device, network.device, kept, leaving=call.endpoint)
                    kept.pop_all()
        self.log.info("left", endpoint=call.endpoint[:12])
        return {}

    # --- what several verbs do

    @contextmanager
    def _bus_of(self, call: Call) -> Iterator[Network]:
        """The call's network, with its bus held."""
        network = self.journal.networks.get(call.network)
        if network is not None:
            # A Join keeps its turn: of two that are lost nobody could tell which is which.
            self.buses.await_device(network.options, network.physical, alone=call.verb == "Join")
            with self.buses.held(network.device):
                network = self.journal.networks.get(call.network)
                if network is not None:
                    yield network
                    return
        raise MooringError(
            f"{call.verb} on the network {call.network[:12]}",
            f"this network is not known: its entry in the journal {self.journal.folder} is gone",
            "remove the network with `docker network rm` and create it again",
        )

    @contextmanager
    def _finishing(self) -> Iterator[ExitStack]:
        """A stack that is run at the end, all of it whatever fails in between."""
        with ExitStack() as finish:
            yield finish


def _other_end(kernel: CanKernel, link: Link) -> str:
    """The name that the container's end of a pair has, or had before it was moved."""
    if not link.away and link.other is not None:
        other = kernel.links().get(link.other)
        if other is not None:
            return other.name
    return f"vy{link.name[2:]}"
