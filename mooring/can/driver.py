"""The verbs of the network driver: a call in, an answer out. Uses journal and kernel; no HTTP.

One lock for each device: calls on one bus come one after another, those on others beside them. A
call that fails takes back what it made. What Docker told us once is in the journal before it is
answered, so that a crash at any moment leaves what the next call or ``repair`` can put in order.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from mooring.can import bus, names, options, protocol, recover
from mooring.can.journal import Journal
from mooring.can.kernel import CanKernel, by_name
from mooring.can.protocol import BadCall, Call, Joined
from mooring.can.recover import Condition
from mooring.core.errors import MooringError
from mooring.core.lines import Lines
from mooring.model.can import (
    Endpoint,
    EndpointState,
    Link,
    Network,
    NetworkOptions,
    Recovered,
    Recovery,
)

LOCK = 60.0
"""Seconds to wait for a bus that another call holds: Docker itself would wait for ever."""
REMEMBERED = 200
"""Recoveries that are kept to be told."""


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
        self.recoveries: deque[Recovery] = deque(maxlen=REMEMBERED)
        self.recovered: Counter[Recovered] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        """How many calls, by verb and result (done or failed)."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """How long they took together, by verb."""
        self._kernel = kernel
        self._recover = recover
        self._strict_ipam = strict_ipam
        self._lives = lives or sandbox_lives
        self._uptime = uptime or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._locks: dict[str, threading.RLock] = {}
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
        result = "failed"
        try:
            answer = self._verbs[call.verb](call)
            result = "done"
        finally:
            with self._guard:
                self.calls[call.verb, result] += 1
                self.seconds[call.verb] += time.monotonic() - began
        return answer

    def status(self) -> Mapping[str, object]:
        """What only this process knows: what it was asked and what it mended."""
        with self._guard:
            return {
                "recovered": dict(self.recovered),
                "recoveries": list(self.recoveries),
                "calls": [
                    {"verb": verb, "result": result, "count": count}
                    for (verb, result), count in sorted(self.calls.items())
                ],
                "seconds": {verb: round(taken, 6) for verb, taken in sorted(self.seconds.items())},
            }

    def _repair(self, _: Call) -> Mapping[str, object]:
        failed: list[str] = []
        mended = 0
        try:
            mended = self.mend()
        except ExceptionGroup as group:
            failed = [str(error) for error in group.exceptions]
        return {"mended": mended, "failed": failed}

    # --- networks

    def _create_network(self, call: Call) -> Mapping[str, object]:
        given = call.options.get(options.GENERIC)
        asked = options.network_options(given if isinstance(given, Mapping) else {})
        self._check_addresses(call)
        with self._held(asked.device), self._open() as kernel, self._undoing() as undo:
            self._check_others(call.network, asked)
            ready = bus.ready_device(kernel, asked, None, undo, self.log)
            link = ready.link
            physical = not (link.kind == bus.VIRTUAL or names.is_bus_mark(link.alias))
            self.journal.put_network(Network(call.network, asked, physical))
        self.log.info(
            "network created", network=call.network[:12], device=asked.device, made=ready.made
        )
        return {}

    def _check_addresses(self, call: Call) -> None:
        if not call.addressed:
            return
        remedy = "create the network with --ipam-driver null"
        why = "a CAN bus has no addresses: each would use up a range and put a route in containers"
        if self._strict_ipam:
            raise MooringError(f"creating the network {call.network[:12]}", why, remedy)
        self.log.warning("network with addresses", network=call.network[:12], remedy=remedy)

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
        with self._held(network.device), self._open() as kernel:
            members = [
                one.id
                for one, its in self.journal.of_device(network.device)
                if its.id == network.id
            ]
            links = kernel.links()
            found = recover.pairs(links.values())
            with self._finishing() as finish:
                finish.callback(self.journal.drop_network, network.id)
                finish.callback(self._warned, self.journal.drop_endpoints, *members)
                others = [n for n in self.journal.networks.values() if n.id != network.id]
                device = by_name(links.values(), network.device)
                shared = any(other.device == network.device for other in others)
                if device is not None and names.is_bus_mark(device.alias) and not shared:
                    finish.callback(kernel.delete, device.index, device.name)
                for one in members:
                    if one in found:
                        finish.callback(kernel.delete, found[one].index, found[one].name)
        self.log.info("network deleted", network=network.id[:12], device=network.device)
        return {}

    # --- endpoints

    def _create_endpoint(self, call: Call) -> Mapping[str, object]:
        asked = options.endpoint_options(call.options)
        with self._bus_of(call) as network, self._open() as kernel, self._undoing() as undo:
            self._device(kernel, network, undo, make=self._recover)
            self._forget_dead(kernel, network.device)
            bus.ready_pair(kernel, call.endpoint, network.id, undo)
            known = self.journal.endpoints.get(call.endpoint)
            if known is not None and known.network == network.id:
                new = replace(known, options=asked)
            else:
                new = Endpoint(call.endpoint, network.id, asked, since=self._uptime())
            self._warned(self.journal.put_endpoint, new)
        self.log.info("endpoint created", endpoint=call.endpoint[:12], device=network.device)
        return {"Interface": {}}

    def _delete_endpoint(self, call: Call) -> Mapping[str, object]:
        network = self.journal.networks.get(call.network)
        with self._held(network.device if network else ""), self._open() as kernel:
            link = recover.pairs(kernel.links().values()).get(call.endpoint)
            with self._finishing() as finish:
                finish.callback(self._warned, self.journal.drop_endpoints, call.endpoint)
                if link is not None:
                    finish.callback(kernel.delete, link.index, link.name)
        self.log.info("endpoint deleted", endpoint=call.endpoint[:12])
        return {}

    def _endpoint_info(self, call: Call) -> Mapping[str, object]:
        with self._open() as kernel:
            link = recover.pairs(kernel.links().values()).get(call.endpoint)
        network = self.journal.networks.get(call.network)
        told = {
            "HostInterface": link.name if link else "",
            "Bus": network.device if network else "",
        }
        return {"Value": told}

    def _join(self, call: Call) -> Mapping[str, object]:
        if call.empty:
            call = self._lost()
        with self._bus_of(call) as network, self._open() as kernel, self._undoing() as undo:
            before = self.journal.endpoints.get(call.endpoint)
            endpoint = self._joining(call, before)
            undo.callback(self._warned, self._restore, call.endpoint, before)
            self._warned(self.journal.put_endpoint, endpoint)
            device = self._device(kernel, network, undo, make=self._recover)
            self._forget_dead(kernel, network.device, but=call.endpoint)
            pair = bus.ready_pair(kernel, endpoint.id, network.id, undo, make=self._recover)
            if pair.made:
                self._note(Recovered.PAIR, network.device, endpoint.id)
            self._wire(kernel, device, network.device, undo, joining=endpoint.id)
            done = replace(endpoint, state=EndpointState.JOINED, since=self._uptime())
            self._warned(self.journal.put_endpoint, done)
            source = _other_end(kernel, pair.link)
        self.log.info("joined", endpoint=endpoint.id[:12], device=network.device)
        prefix = endpoint.options.peer or network.options.peer
        return protocol.joined(Joined(source, prefix, endpoint.options.ifname))

    def _lost(self) -> Call:
        """The Join that Docker repeats without its body, if there is no doubt which it is."""
        open_ = [
            one for one in self.journal.endpoints.values() if one.state is EndpointState.JOINING
        ]
        if len(open_) != 1:
            raise BadCall(
                400,
                "Join",
                f"the body is empty, and {len(open_)} calls are open that it could repeat",
                "start the container again",
            )
        (one,) = open_
        self.log.warning("a call without its body taken as the one that is open", endpoint=one.id)
        return Call("Join", one.network, one.id, one.sandbox)

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
            self._note(Recovered.ENDPOINT, network.device, call.endpoint)
            known = Endpoint(call.endpoint, call.network)
        elif known.network != call.network:
            raise MooringError(
                f"joining endpoint {call.endpoint[:12]}",
                f"it belongs to the network {known.network[:12]}, not to {call.network[:12]}",
            )
        return replace(
            known, state=EndpointState.JOINING, sandbox=call.sandbox, since=self._uptime()
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
        with self._held(network.device if network else ""), self._open() as kernel:
            if known is not None:
                left = replace(known, state=EndpointState.CREATED, since=self._uptime())
                self._warned(self.journal.put_endpoint, left)
            device = by_name(kernel.links().values(), network.device) if network else None
            if network is not None and device is not None:
                # Nothing is taken back: what could be removed shall stay removed.
                with ExitStack() as kept:
                    self._wire(kernel, device, network.device, kept, leaving=call.endpoint)
                    kept.pop_all()
        self.log.info("left", endpoint=call.endpoint[:12])
        return {}

    # --- what several verbs do

    def _device(self, kernel: CanKernel, network: Network, undo: ExitStack, *, make: bool) -> Link:
        ready = bus.ready_device(
            kernel, network.options, network.physical, undo, self.log, make=make
        )
        if ready.made:
            self._note(Recovered.DEVICE, network.device, network.device)
        return ready.link

    def _wire(
        self,
        kernel: CanKernel,
        link: Link,
        device: str,
        undo: ExitStack,
        *,
        joining: str = "",
        leaving: str = "",
    ) -> None:
        members = self.journal.of_device(device)
        wired = bus.wire(kernel, link, members, undo, joining=joining, leaving=leaving)
        for endpoint in wired.absent:
            self.log.warning(
                "an endpoint has no interface yet: it is wired when it joins",
                endpoint=endpoint[:12],
                device=device,
            )
        if wired.mended:
            self._note(Recovered.RULES, device, f"{wired.mended} rules")
        self.log.debug("wired", device=device, added=wired.added, removed=wired.removed)

    def _forget_dead(self, kernel: CanKernel, device: str, but: str = "") -> None:
        """Forget the endpoints of this bus whose containers are gone, and what is left of them."""
        links = kernel.links().values()
        members = [one for one, _ in self.journal.of_device(device) if one.id != but]
        found = recover.pairs(links)
        how = recover.conditions(members, links, self._lives, self._uptime())
        dead = [one for one, condition in how.items() if condition is Condition.DEAD]
        for one in dead:
            if one in found:
                kernel.delete(found[one].index, found[one].name)
            self.log.info("an endpoint whose container is gone is forgotten", endpoint=one[:12])
        if dead:
            self._warned(self.journal.drop_endpoints, *dead)

    def mend(self) -> int:
        """The journal against the kernel, bus by bus; how much was mended. Asks no Docker.

        Raises:
            ExceptionGroup: of MooringError, one for each bus that could not be mended.
        """
        before = self.recovered.total()
        failed: list[MooringError] = []
        for device in dict.fromkeys(one.device for one in self.journal.networks.values()):
            try:
                self._mend_bus(device)
            except MooringError as error:
                failed.append(error)
        try:
            self._clear()
        except MooringError as error:
            failed.append(error)
        if failed:
            raise ExceptionGroup("mending the buses", failed)
        return self.recovered.total() - before

    def devices(self) -> dict[str, int]:
        """The buses' interfaces that are there, by name, with their indexes."""
        wanted = {network.device for network in self.journal.networks.values()}
        with self._open() as kernel:
            return {one.name: one.index for one in kernel.links().values() if one.name in wanted}

    def mend_returned(self, before: Mapping[str, int]) -> dict[str, int]:
        """Wire the buses whose interfaces are new since ``before``: an adapter was plugged in.

        Its rules went with it when it was pulled. Returns what is there now.
        """
        now = self.devices()
        for device, index in now.items():
            if before.get(device) != index:
                try:
                    self._mend_bus(device)
                except MooringError as error:
                    self.log.error("a bus is not mended", device=device, error=str(error))
        return now

    def _mend_bus(self, device: str) -> None:
        with self._held(device), self._open() as kernel:
            network = next(
                (one for one in self.journal.networks.values() if one.device == device), None
            )
            if network is None:
                return
            # A device that is not there yet is waited for by who needs it.
            at_once = replace(network, options=replace(network.options, wait=0.0))
            with ExitStack() as kept:
                link = self._device(kernel, at_once, kept, make=True)
                kept.pop_all()
            self._forget_dead(kernel, device)
            for endpoint, its in self.journal.of_device(device):
                self._mend_pair(kernel, endpoint, its)
            with ExitStack() as kept:
                self._wire(kernel, link, device, kept)
                kept.pop_all()

    def _mend_pair(self, kernel: CanKernel, endpoint: Endpoint, network: Network) -> None:
        """Make a pair that was deleted again, its other end back in its living container."""
        links = kernel.links().values()
        how = recover.conditions([endpoint], links, self._lives, self._uptime())[endpoint.id]
        if how not in (Condition.MISSING, Condition.STRAYED):
            return
        with self._undoing() as undo:
            pair = bus.ready_pair(kernel, endpoint.id, network.id, undo).link
            if endpoint.wired and pair.other is not None:
                self._put_back(kernel, kernel.links()[pair.other], endpoint, network)
        self._note(Recovered.PAIR, network.device, endpoint.id)

    def _put_back(self, kernel: CanKernel, end: Link, endpoint: Endpoint, network: Network) -> None:
        """Into the container, under the name that Docker would choose."""

        def choose(taken: set[str]) -> str:
            wanted = endpoint.options.ifname
            if wanted and wanted not in taken:
                return wanted
            prefix = endpoint.options.peer or network.options.peer
            return next(name for n in count() if (name := f"{prefix}{n}") not in taken)

        name = kernel.insert(end, endpoint.sandbox, choose)
        self.log.warning("put back into its container", endpoint=endpoint.id[:12], name=name)

    def _clear(self) -> None:
        """Take away what is ours and nobody's, under the lock of the bus to which it belonged."""
        with self._open() as kernel:
            for left in recover.leftovers(
                self.journal.networks, self.journal.endpoints, kernel.links().values()
            ):
                network = self.journal.networks.get(names.marked_network(left.alias) or "")
                device = network.device if network else left.name
                with self._held(device):
                    now = recover.leftovers(
                        self.journal.networks, self.journal.endpoints, kernel.links().values()
                    )
                    if any(one.index == left.index for one in now):
                        kernel.delete(left.index, left.name)
                        self._note(Recovered.LEFTOVER, device, left.name)

    def _note(self, kind: Recovered, device: str, subject: str) -> None:
        with self._guard:
            self.recoveries.append(Recovery(kind, device, subject, time.time()))
            self.recovered[kind] += 1
        self.log.warning("recovered", what=kind.value, device=device, subject=subject[:15])

    def _warned(self, change: Callable[..., None], *arguments: object) -> None:
        """A change of the journal without which the call is still good, in this run at least."""
        try:
            change(*arguments)
        except MooringError as error:
            self.log.error("the journal is not written", error=str(error))

    # --- locks and clean-up

    @contextmanager
    def _bus_of(self, call: Call) -> Iterator[Network]:
        """The call's network, with its bus held."""
        network = self.journal.networks.get(call.network)
        if network is not None:
            with self._held(network.device):
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
    def _held(self, device: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(device, threading.RLock())
        if not lock.acquire(timeout=LOCK):
            raise MooringError(
                f"waiting for the bus {device}", f"another call has held it for {LOCK:g} s",
                "see the log of mooring-can for that call",
            )  # fmt: skip
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _open(self) -> Iterator[CanKernel]:
        with closing(self._kernel()) as kernel:
            yield kernel

    @contextmanager
    def _undoing(self) -> Iterator[ExitStack]:
        """A stack of what takes back; it is run when the block fails, and only then."""
        undo = ExitStack()
        try:
            yield undo
        except Exception:
            try:
                undo.close()
            except MooringError as error:
                self.log.error("could not be taken back", error=str(error))
            raise
        undo.pop_all()

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


def sandbox_lives(path: str) -> bool:
    """Whether a container's network namespace is there: Docker mounts it on a file of its own."""
    if not path:
        return False
    try:
        return os.stat(path).st_dev != os.stat(Path(path).parent).st_dev  # noqa: PTH116
    except OSError:
        return False
