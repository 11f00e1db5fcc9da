"""The buses of this machine: held one call at a time, put in order, mended. Journal and kernel.

What the verbs of the driver share, and what is done without a call: at the start, when a device
comes back, and by ``repair``.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from mooring.can import bus, names, recover
from mooring.can.journal import Journal
from mooring.can.kernel import CanKernel, by_name
from mooring.can.recover import Condition
from mooring.can.turns import give_way
from mooring.core.errors import MooringError
from mooring.core.lines import Lines
from mooring.model.can import Endpoint, Link, Network, NetworkOptions, Recovered, Recovery

LOCK = 60.0
"""Seconds to wait for a bus that another call holds: Docker itself would wait for ever."""
REMEMBERED = 200
"""Recoveries that are kept to be told."""


class Buses:
    """Any thread may call it. ``kernel`` opens a connection for one call.

    ``lives`` tells whether a sandbox's namespace is there, ``uptime`` the seconds since the
    machine's start.
    """

    def __init__(
        self,
        journal: Journal,
        kernel: Callable[[], CanKernel],
        log: Lines,
        lives: Callable[[str], bool] | None = None,
        uptime: Callable[[], float] | None = None,
    ) -> None:
        self.journal = journal
        self.log = log
        self.uptime = uptime or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self.recoveries: deque[Recovery] = deque(maxlen=REMEMBERED)
        self.recovered: Counter[Recovered] = Counter()
        self._untouched: set[str] = set()
        """Endpoints whose pairs this process has made, and at which it never made a rule."""
        self._in_order: dict[str, int] = {}
        """The indexes of devices whose rules this process has compared with those that shall be."""
        self._kernel = kernel
        self._lives = lives or sandbox_lives
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    def await_device(
        self, options: NetworkOptions, physical: bool | None, *, alone: bool = False
    ) -> None:
        """Wait for hardware that is not there yet, as long as its network allows.

        Before its bus is held: nobody else waits for it then but who needs it, or, ``alone``, whose
        turn is later.
        """
        if not bus.is_hardware(options.device, physical):
            return
        with self.open() as kernel:
            if by_name(kernel.links().values(), options.device) is not None:
                return
            self.log.info("waiting_for_device", device=options.device, seconds=options.wait)
            if not alone:
                give_way()
            kernel.wait_for(options.device, options.wait)

    def device(self, kernel: CanKernel, network: Network, undo: ExitStack, *, make: bool) -> Link:
        ready = bus.ready_device(
            kernel, network.options, network.physical, undo, self.log, make=make
        )
        if ready.made:
            self.note(Recovered.DEVICE, network.device, network.device)
        return ready.link

    def wire(
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
        new = joining in self._untouched and self._in_order.get(device) == link.index
        self._untouched.discard(joining)
        wired = bus.wire(kernel, link, members, undo, joining=joining, leaving=leaving, new=new)
        self._in_order[device] = link.index
        for endpoint in wired.absent:
            self.log.warning(
                "endpoint_without_interface",
                endpoint=endpoint[:12],
                device=device,
                remedy="it is wired when it joins",
            )
        if wired.mended:
            self.note(Recovered.RULES, device, f"{wired.mended} rules")
        self.log.debug("wired", device=device, added=wired.added, removed=wired.removed)

    def pair(
        self, kernel: CanKernel, endpoint: str, network: str, undo: ExitStack, *, make: bool = True
    ) -> bus.Ready:
        ready = bus.ready_pair(kernel, endpoint, network, undo, make=make)
        if ready.made:
            self._untouched.add(endpoint)
        return ready

    def forget_dead(self, kernel: CanKernel, device: str, but: str = "") -> None:
        """Forget the endpoints of this bus whose containers are gone, and what is left of them."""
        links = kernel.links().values()
        members = [one for one, _ in self.journal.of_device(device) if one.id != but]
        found = recover.pairs(links)
        how = recover.conditions(members, links, self._lives, self.uptime())
        dead = [one for one, condition in how.items() if condition is Condition.DEAD]
        for one in dead:
            if one in found:
                kernel.delete(found[one].index, found[one].name)
            self.log.info("endpoint_forgotten", endpoint=one[:12], reason="its container is gone")
        if dead:
            self.warned(self.journal.drop_endpoints, *dead)

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
        with self.open() as kernel:
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
                    self.log.error("bus_not_mended", device=device, error=str(error))
        return now

    def _mend_bus(self, device: str) -> None:
        with self.held(device), self.open() as kernel:
            network = next(
                (one for one in self.journal.networks.values() if one.device == device), None
            )
            if network is None:
                return
            # A device that is not there yet is waited for by who needs it.
            at_once = replace(network, options=replace(network.options, wait=0.0))
            with ExitStack() as kept:
                link = self.device(kernel, at_once, kept, make=True)
                kept.pop_all()
            self.forget_dead(kernel, device)
            for endpoint, its in self.journal.of_device(device):
                self._mend_pair(kernel, endpoint, its)
            with ExitStack() as kept:
                self.wire(kernel, link, device, kept)
                kept.pop_all()

    def _mend_pair(self, kernel: CanKernel, endpoint: Endpoint, network: Network) -> None:
        """Make a pair that was deleted again, its other end back in its living container."""
        links = kernel.links().values()
        how = recover.conditions([endpoint], links, self._lives, self.uptime())[endpoint.id]
        if how not in (Condition.MISSING, Condition.STRAYED):
            return
        with self.undoing() as undo:
            pair = self.pair(kernel, endpoint.id, network.id, undo).link
            if endpoint.wired and pair.other is not None:
                self._put_back(kernel, kernel.links()[pair.other], endpoint, network)
        self.note(Recovered.PAIR, network.device, endpoint.id)

    def _put_back(self, kernel: CanKernel, end: Link, endpoint: Endpoint, network: Network) -> None:
        """Into the container, under the name that Docker would choose."""

        def choose(taken: set[str]) -> str:
            wanted = endpoint.options.ifname
            if wanted and wanted not in taken:
                return wanted
            prefix = endpoint.options.peer or network.options.peer
            return next(name for n in count() if (name := f"{prefix}{n}") not in taken)

        name = kernel.insert(end, endpoint.sandbox, choose)
        self.log.warning("interface_put_back", endpoint=endpoint.id[:12], name=name)

    def _clear(self) -> None:
        """Take away what is ours and nobody's, under the lock of the bus to which it belonged."""
        with self.open() as kernel:
            for left in recover.leftovers(
                self.journal.networks, self.journal.endpoints, kernel.links().values()
            ):
                network = self.journal.networks.get(names.marked_network(left.alias) or "")
                device = network.device if network else left.name
                with self.held(device), self.open() as now:
                    still = recover.leftovers(
                        self.journal.networks, self.journal.endpoints, now.links().values()
                    )
                    if any(one.index == left.index for one in still):
                        now.delete(left.index, left.name)
                        self.note(Recovered.LEFTOVER, device, left.name)

    def note(self, kind: Recovered, device: str, subject: str) -> None:
        with self._guard:
            self.recoveries.append(Recovery(kind, device, subject, time.time()))
            self.recovered[kind] += 1
        self.log.warning("recovered", what=kind.value, device=device, subject=subject[:15])

    def warned(self, change: Callable[..., None], *arguments: object) -> None:
        """A change of the journal without which the call is still good, in this run at least."""
        try:
            change(*arguments)
        except MooringError as error:
            self.log.error("journal_not_written", error=str(error))

    # --- locks and taking back

    @contextmanager
    def held(self, device: str) -> Iterator[None]:
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
    def open(self) -> Iterator[CanKernel]:
        with closing(self._kernel()) as kernel:
            yield kernel

    @contextmanager
    def changing(self) -> Iterator[tuple[CanKernel, ExitStack]]:
        """A connection, and a stack of what takes back that is run when the block fails."""
        with self.open() as kernel, self.undoing() as undo:
            yield kernel, undo

    @contextmanager
    def undoing(self) -> Iterator[ExitStack]:
        """A stack of what takes back; it is run when the block fails, and only then."""
        undo = ExitStack()
        try:
            yield undo
        except Exception:
            try:
                undo.close()
            except MooringError as error:
                self.log.error("not_taken_back", error=str(error))
            raise
        undo.pop_all()


def sandbox_lives(path: str) -> bool:
    """Whether a container's network namespace is there: Docker mounts it on a file of its own."""
    if not path:
        return False
    try:
        return os.stat(path).st_dev != os.stat(Path(path).parent).st_dev  # noqa: PTH116
    except OSError:
        return False
