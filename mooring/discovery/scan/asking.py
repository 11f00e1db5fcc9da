"""The loop that asks hosts for ports until each is done or it is told to end. Of one thread.

What to send, when and how often is ``target``'s and ``budget``'s; the sockets are a wire's.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from mooring.discovery.scan.budget import Bucket
from mooring.discovery.scan.target import Target
from mooring.discovery.scan.wires import Wire

AT_ONCE = 50
"""Packets to one host before it is another's turn."""

BETWEEN_HEARING = 500
"""Packets that are sent before what came is read."""

MOST_BYTES = 16 << 20
"""Memory for the states of the ports of all hosts that are asked side by side."""
MOST_ACTIVE = 512

LONGEST_WAIT = 0.05
"""Seconds after which it looks whether to end."""

_BETWEEN_EXPIRY = 0.01


class Asking:
    """Hosts to be asked, and the way to each.

    ``targets`` is read as there is room for one more, so that thousands of hosts take no more
    memory than some hundreds. ``found`` hears of open ports as they come, ``done`` of each host
    when all is known of it, ``advanced`` of how many ports are settled.
    """

    def __init__(
        self,
        targets: Iterator[tuple[Target, Wire]],
        bucket: Bucket,
        ending: threading.Event,
        *,
        found: Callable[[Target], None],
        done: Callable[[Target], None],
        advanced: Callable[[int], None],
    ) -> None:
        self._coming = targets
        self._bucket = bucket
        self._ending = ending
        self._found = found
        self._done = done
        self._advanced = advanced
        self._active: deque[tuple[Target, Wire]] = deque()
        self._by_ip: dict[bytes, Target] = {}
        self._wires: dict[int, Wire] = {}
        self._poll = select.poll()
        self._finished = 0
        self._bytes = 0
        self._more = True

    def run(self) -> None:
        """Ask until all are done, or ``ending`` is set."""
        expired = 0.0
        while not self._ending.is_set():
            self._fill()
            if not self._active:
                return
            heard = self._hear()
            sent = self._send()
            now = time.monotonic()
            if now - expired >= _BETWEEN_EXPIRY:
                expired = now
                self._expire(now)
            if not heard and not sent:
                self._wait()

    def _fill(self) -> None:
        while self._more and len(self._active) < MOST_ACTIVE and self._bytes < MOST_BYTES:
            following = next(self._coming, None)
            if following is None:
                self._more = False
                return
            target, wire = following
            self._active.append(following)
            self._by_ip[target.ip.packed] = target
            if id(wire) not in self._wires:
                self._wires[id(wire)] = wire
                self._poll.register(wire.fileno(), select.POLLIN)
            self._bytes += target.turns.total

    def _send(self) -> int:
        """One turn for each host: what its budget and that of all allow."""
        total = 0
        since_heard = 0
        now = time.monotonic()
        left = self._bucket.available(now)
        for _ in range(len(self._active)):
            if left <= 0:
                break
            target, wire = self._active[0]
            self._active.rotate(-1)
            if not target.turns.has_more:
                continue
            count = min(left, target.bucket.available(now), AT_ONCE)
            if count <= 0:
                continue
            attempt, places = target.turns.take(count)
            asked = wire.ask(target, target.numbers(places), attempt)
            target.sent(attempt, places, asked, time.monotonic())
            self._bucket.sent(asked, time.monotonic())
            left -= asked
            total += asked
            since_heard += asked
            if since_heard >= BETWEEN_HEARING:
                since_heard = 0
                self._hear()
                now = time.monotonic()
        return total

    def _hear(self) -> int:
        count = 0
        touched: set[Target] = set()
        for wire in self._wires.values():
            for heard in wire.hear():
                count += 1
                target = self._by_ip.get(heard.ip)
                if target is not None:
                    target.answered(heard.port, heard.open, heard.attempt, heard.round_trip)
                    if heard.open:
                        touched.add(target)
        for target in touched:
            self._found(target)
        return count

    def _expire(self, now: float) -> None:
        for wire in self._wires.values():
            wire.forget(now)
        settled = self._finished
        ended: list[Target] = []
        for target, wire in self._active:
            target.expire(now)
            if target.turns.done:
                ended.append(target)
                wire.leave(target)
            else:
                settled += target.turns.settled
        if ended:
            gone = set(ended)
            self._active = deque(pair for pair in self._active if pair[0] not in gone)
        for target in ended:
            del self._by_ip[target.ip.packed]
            self._bytes -= target.turns.total
            self._finished += target.turns.total
            settled += target.turns.total
            self._done(target)
        self._advanced(settled)

    def _wait(self) -> None:
        """Until something comes, or may be sent, or is to be looked at again."""
        until = time.monotonic() + LONGEST_WAIT
        now = time.monotonic()
        for target, _ in self._active:
            until = min(until, target.next_expiry())
            if target.turns.has_more:
                ready = max(target.bucket.ready_in(AT_ONCE), self._bucket.ready_in())
                until = min(until, now + ready)
        self._poll.poll(max(1.0, (until - now) * 1000))
