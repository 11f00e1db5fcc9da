"""A kernel with CAN and with memory: links, indexes, namespaces and rules, as the facts say.

It can be made to crash or to refuse at any of its calls.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mooring.can.kernel import GATEWAY_REMEDY, Gone, KernelError
from mooring.model.can import FoundRule, Link, Rule, Settings

HOST = ""


class Crash(BaseException):
    """The process is killed at this point."""


@dataclass
class World:
    """What outlives every process: the machine, until it is started again."""

    links: dict[str, dict[int, Link]] = field(default_factory=lambda: {HOST: {}})
    """By namespace and index."""
    rules: list[Rule] = field(default_factory=list)
    gateway: bool = True
    """can-gw is loaded."""
    kinds: set[str] = field(default_factory=lambda: {"vcan", "vxcan"})
    may: bool = True
    """CAP_NET_ADMIN."""
    arrives: Callable[[str], None] | None = None
    """Called when somebody waits for a device of that name."""
    calls: int = 0
    crash_at: int | None = None
    """The number of the call before which the process dies."""
    refuse: Callable[[str], int] | None = None
    """From a call's name to the errno with which it is refused, or 0."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _next: itertools.count[int] = field(default_factory=lambda: itertools.count(2))

    def index(self) -> int:
        return next(self._next)

    def add(self, name: str, kind: str = "vcan", **more: object) -> Link:
        """A link that somebody else made."""
        facts: dict[str, object] = {"can": True, "up": True, **more}
        link = Link(self.index(), name, kind, **facts)  # type: ignore[arg-type]
        self.links[HOST][link.index] = link
        return link

    def named(self, name: str, namespace: str = HOST) -> Link | None:
        return next((one for one in self.links[namespace].values() if one.name == name), None)

    def remove(self, index: int, namespace: str = HOST) -> None:
        """A link goes, with its other end wherever that is, and the rules of both."""
        link = self.links[namespace].pop(index)
        gone = {index} if namespace == HOST else set()
        if link.kind == "vxcan":
            for name, there in self.links.items():
                other = there.get(link.other or 0)
                if other is not None and other.other == index and other.kind == "vxcan":
                    del there[other.index]
                    if name == HOST:
                        gone.add(other.index)
                    break
        self.rules = [r for r in self.rules if r.source not in gone and r.target not in gone]

    def start_container(self, source: str, sandbox: str, name: str) -> None:
        """Docker moves an end into a container's namespace."""
        end = self.named(source)
        assert end is not None, f"there is no {source}"
        self.links.setdefault(sandbox, {})
        assert self.named(name, sandbox) is None
        del self.links[HOST][end.index]
        self.rules = [r for r in self.rules if end.index not in (r.source, r.target)]
        self.links[sandbox][end.index] = replace(end, name=name, up=True, away=True)
        host = self.links[HOST][end.other or 0]
        self.links[HOST][host.index] = replace(host, away=True)

    def bring_back(self, sandbox: str) -> None:
        """Docker moves the ends back before the namespace ends."""
        for end in list(self.links.get(sandbox, {}).values()):
            del self.links[sandbox][end.index]
            host = self.links[HOST][end.other or 0]
            self.links[HOST][end.index] = replace(end, name=f"vy{host.name[2:]}", away=False)
            self.links[HOST][host.index] = replace(host, away=False)

    def end_namespace(self, sandbox: str) -> None:
        """The last process goes: all that is in it goes, and the pairs' ends on the host."""
        for index in list(self.links.get(sandbox, {})):
            self.remove(index, sandbox)
        self.links.pop(sandbox, None)

    def reboot(self) -> None:
        """Nothing that is the kernel's is left but hardware."""
        hardware = [one for one in self.links[HOST].values() if one.kind == "can"]
        self.links = {HOST: {one.index: replace(one, up=False) for one in hardware}}
        self.rules = []

    def lives(self, sandbox: str) -> bool:
        return sandbox != HOST and sandbox in self.links

    def hears(self, source: int) -> list[int]:
        """At which of the host's links a classic frame comes out that is sent into one."""
        return sorted(r.target for r in self.rules if r.source == source and r.flags & 8 == 0)


class FakeKernel:
    """What the driver uses; each call may be the one at which it crashes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def close(self) -> None:
        pass

    def _call(self, name: str, doing: str) -> None:
        world = self.world
        world.calls += 1
        if world.crash_at is not None and world.calls >= world.crash_at:
            raise Crash(name)
        if world.refuse is not None and (code := world.refuse(name)):
            raise KernelError(doing, code)
        if not world.may and name not in ("links", "rules"):
            raise KernelError(doing, errno.EPERM, "not permitted: CAP_NET_ADMIN is missing")

    def links(self) -> dict[int, Link]:
        self._call("links", "listing links")
        with self.world.lock:
            return dict(self.world.links[HOST])

    def rules(self) -> list[FoundRule]:
        self._call("rules", "listing can-gw rules")
        with self.world.lock:
            return [FoundRule(rule) for rule in self.world.rules] if self.world.gateway else []

    def add_bus(self, name: str, alias: str) -> int:
        self._call("add_bus", f"making the interface {name}")
        with self.world.lock:
            self._possible("vcan", name)
            link = self.world.add(name, "vcan", alias=alias)
            return link.index

    def add_pair(self, name: str, other: str, alias: str) -> int:
        self._call("add_pair", f"making the interface {name}")
        world = self.world
        with world.lock:
            self._possible("vxcan", name, other)
            one, two = world.index(), world.index()
            host = Link(one, name, "vxcan", can=True, up=True, alias=alias, other=two)
            world.links[HOST][one] = host
            world.links[HOST][two] = Link(two, other, "vxcan", can=True, up=False, other=one)
            return one

    def _possible(self, kind: str, *names: str) -> None:
        doing = f"making the interface {names[0]}"
        assert all(0 < len(name) <= 15 for name in names)
        if kind not in self.world.kinds:
            raise KernelError(doing, errno.EOPNOTSUPP, f"this kernel has no {kind}")
        if any(self.world.named(name) for name in names):
            raise KernelError(doing, errno.EEXIST)

    def set_up(self, link: Link) -> None:
        self._call("set_up", f"setting {link.name} up")
        self._change(link, up=True)

    def delete(self, index: int, name: str) -> None:
        self._call("delete", f"removing the interface {name}")
        with self.world.lock:
            if index in self.world.links[HOST]:
                self.world.remove(index)

    def configure(self, link: Link, settings: Settings) -> None:
        self._call("configure", f"setting {link.name}")
        if settings.txqueuelen is not None:
            self._change(link, txqueuelen=settings.txqueuelen)
        rest = {
            what: value
            for what in ("bitrate", "dbitrate", "fd", "restart_ms")
            if (value := getattr(settings, what)) is not None
        }
        if rest:
            if self.world.links[HOST][link.index].up:
                raise KernelError(f"setting {link.name}", errno.EBUSY)
            self._change(link, **rest)

    def _change(self, link: Link, **facts: object) -> None:
        with self.world.lock:
            now = self.world.links[HOST].get(link.index)
            if now is None:
                raise Gone(f"changing {link.name}", errno.ENODEV)
            self.world.links[HOST][link.index] = replace(now, **facts)  # type: ignore[arg-type]

    def change_rules(self, remove: Sequence[Rule], add: Sequence[Rule]) -> None:
        self._call("change_rules", f"adding {len(add)} can-gw rules")
        world = self.world
        with world.lock:
            if add and not world.gateway:
                raise KernelError("adding can-gw rules", errno.EOPNOTSUPP, "", GATEWAY_REMEDY)
            there = world.links[HOST]
            for number, rule in enumerate(add):
                if rule.source not in there or rule.target not in there:
                    for taken_back in add[:number]:
                        world.rules.remove(taken_back)
                    raise Gone("adding can-gw rules", errno.ENODEV)
                world.rules.append(rule)
            for rule in remove:
                if rule in world.rules:
                    world.rules.remove(rule)

    def wait_for(self, name: str, seconds: float) -> bool:
        self._call("wait_for", f"waiting for {name}")
        if seconds and self.world.arrives is not None:
            self.world.arrives(name)
        return self.world.named(name) is not None

    def insert(self, link: Link, sandbox: str, name: Callable[[set[str]], str]) -> str:
        self._call("insert", f"moving {link.name} into {sandbox}")
        with self.world.lock:
            if not self.world.lives(sandbox):
                raise KernelError("moving", errno.ENOENT, os.strerror(errno.ENOENT))
            chosen = name({one.name for one in self.world.links[sandbox].values()})
            self.world.start_container(link.name, sandbox, chosen)
            return chosen
