"""Pure. Whose port is asked next: every host gets its turn, and none has many asked at once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from mooring.model.net import IpAddress


class Turns:
    """Ports of hosts that wait to be asked: ``most`` at once, of one host ``most_of_one``."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self.most = most
        self.most_of_one = most_of_one
        self.total = 0
        self.taken = 0
        self.done = 0
        self._waiting: dict[IpAddress, deque[int]] = {}
        self._order: deque[IpAddress] = deque()
        """Hosts with ports that wait and with room for one more to be asked."""
        self._asked: Counter[IpAddress] = Counter()

    def add(self, ip: IpAddress, ports: Iterable[int]) -> None:
        waiting = self._waiting.setdefault(ip, deque())
        before = len(waiting)
        waiting.extend(ports)
        self.total += len(waiting) - before
        if not before and waiting and self._asked[ip] < self.most_of_one:
            self._order.append(ip)

    def take(self) -> tuple[IpAddress, int] | None:
        """The next port; ``finish`` it. None: there is none, or enough are asked already."""
        if not self._order or self.taken - self.done >= self.most:
            return None
        self.taken += 1
        ip = self._order.popleft()
        port = self._waiting[ip].popleft()
        self._asked[ip] += 1
        if self._waiting[ip] and self._asked[ip] < self.most_of_one:
            self._order.append(ip)
        return ip, port

    def finish(self, ip: IpAddress) -> None:
        """A port of this host was asked."""
        self.done += 1
        self._asked[ip] -= 1
        if self._waiting[ip] and self._asked[ip] == self.most_of_one - 1:
            self._order.append(ip)
        if not self._waiting[ip] and not self._asked[ip]:
            del self._waiting[ip], self._asked[ip]
