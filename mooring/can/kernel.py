"""The kernel's CAN: links and can-gw rules, made, listed and taken away. No program is run.

What it does is asked for by name; what shall be is decided elsewhere. Every error is a
``MooringError`` that says what was attempted and what to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from mooring.can import rtcan
from mooring.core.errors import MooringError
from mooring.core.netlink import (
    RTM_GETLINK,
    RTM_GETROUTE,
    Netlink,
    NetlinkError,
)
from mooring.core.nlmsg import Request, Verdict
from mooring.model.can import FoundRule, Link, Rule, Settings

_INDEXES = range(1 << 20, 1 << 24, 2)
"""From which we choose a link's index: far above what the kernel counts up to. With an index that
is known beforehand, making a link and marking it as ours is one call, which no crash divides, and
what was made is known without asking for it. A pair's other end has the next one."""
_TRIES = 3
_SIOCGIFFLAGS = 0x8913
_MODULES = Path("/sys/module")


class KernelError(MooringError):
    """The kernel refused; ``errno`` is its."""

    def __init__(self, attempted: str, code: int, why: str = "", remedy: str = "") -> None:
        self.errno = code
        super().__init__(attempted, why or os.strerror(code).lower(), remedy)


class Gone(KernelError):
    """What was to be changed is not there any more."""


class CanKernel(Protocol):
    """What the driver asks of a kernel, so that tests can be one."""

    def links(self) -> dict[int, Link]: ...
    def rules(self) -> list[FoundRule]: ...
    def add_bus(self, name: str, alias: str) -> int: ...
    def add_pair(self, name: str, other: str, alias: str) -> int: ...
    def set_up(self, link: Link) -> None: ...
    def delete(self, index: int, name: str) -> None: ...
    def configure(self, link: Link, settings: Settings) -> None: ...
    def change_rules(self, remove: Sequence[Rule], add: Sequence[Rule]) -> None: ...
    def wait_for(self, name: str, seconds: float) -> bool: ...
    def insert(self, link: Link, sandbox: str, name: Callable[[set[str]], str]) -> str: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which drivers' links are made; a stand-in where the kernel has no CAN."""

    bus: str = "vcan"
    pair: str = "vxcan"


class Kernel:
    """A connection to the kernel, for one thread."""

    def __init__(self, kinds: Kinds = Kinds()) -> None:
        self._kinds = kinds
        self._netlink = Netlink()
        self._links: dict[int, Link] | None = None
        """As they were listed, until this connection changes one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._netlink.close()

    # --- looking

    def links(self) -> dict[int, Link]:
        """All links of the namespace by index; listed once, and again after a change of ours."""
        if self._links is None:
            told = self._dump(RTM_GETLINK, rtcan.ASK_LINKS)
            self._links = {one.index: one for one in map(rtcan.link, told)}
        return self._links

    def rules(self) -> list[FoundRule]:
        """All rules of can-gw; none where it is not loaded."""
        if not gateway_loaded():
            return []
        return rtcan.rules(self._dump(RTM_GETROUTE, rtcan.ASK_RULES))

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        doing = "listing links" if kind == RTM_GETLINK else "listing can-gw rules"
        try:
            return self._netlink.dump(kind, body, doing=doing).payloads
        except NetlinkError as error:
            raise _explained(doing, error.errno or 0) from error

    # --- links

    def add_bus(self, name: str, alias: str) -> int:
        """A virtual CAN interface, up and marked as ours; its index."""
        kind = self._kinds.bus
        index = self._add(name, alias, lambda index: rtcan.new_link(index, name, kind))
        self._made(Link(index, name, kind, can=True, up=True, alias=alias))
        return index

    def add_pair(self, name: str, other: str, alias: str) -> int:
        """A pair of which the end ``name`` is up and marked as ours; that one's index."""
        kind = self._kinds.pair
        index = self._add(name, alias, lambda index: rtcan.new_pair(index, name, other, kind))
        self._made(Link(index, name, kind, can=True, up=True, alias=alias, other=index + 1))
        self._made(Link(index + 1, other, kind, can=True, up=False, other=index))
        return index

    def _add(self, name: str, alias: str, request: Callable[[int], Request]) -> int:
        """Make, mark and set up what is asked for with an index of our choice."""
        doing = f"making the interface {name}"
        before = self.links()
        for _ in range(_TRIES):
            index = random.choice(_INDEXES)  # noqa: S311
            if index in before or index + 1 in before:
                continue
            made, marked = self._batch([request(index), rtcan.mark(index, alias)], doing)
            if made.errno == errno.EBUSY:
                # Another link took this index since.
                continue
            if made.errno:
                raise _explained(doing, made.errno, made.sentence)
            if marked.errno:
                with suppress(MooringError):
                    self.delete(index, name)
                raise _explained(f"marking the interface {name}", marked.errno, marked.sentence)
            # Nothing else has changed by it.
            self._links = dict(before)
            return index
        raise KernelError(doing, errno.EBUSY)

    def _made(self, link: Link) -> None:
        if self._links is not None:
            self._links[link.index] = link

    def set_up(self, link: Link) -> None:
        self._do(rtcan.set_up(link.index), f"setting {link.name} up")

    def delete(self, index: int, name: str) -> None:
        """Take a link away, and a pair's other end with it; that it is gone already is fine."""
        with suppress(Gone):
            self._do(rtcan.delete_link(index), f"removing the interface {name}")

    def configure(self, link: Link, settings: Settings) -> None:
        """Set a device's bit rates and modes (it must be down for these) and its queue's length."""
        doing = f"setting {link.name} to {_told(settings)}"
        if settings.txqueuelen is not None and settings.txqueuelen != link.txqueuelen:
            self._do(rtcan.queue_length(link.index, settings.txqueuelen), doing)
        if any(
            value is not None
            for value in (settings.bitrate, settings.dbitrate, settings.fd, settings.restart_ms)
        ):
            self._do(rtcan.configure(link.index, settings), doing)

    def wait_for(self, name: str, seconds: float) -> bool:
        """Wait until there is a link of this name; whether there is one."""
        deadline = time.monotonic() + seconds
        with link_events() as events:
            while True:
                self._links = None
                if any(link.name == name for link in self.links().values()):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                until_news(events, left)

    def insert(self, link: Link, sandbox: str, name: Callable[[set[str]], str]) -> str:
        """Move a link into the namespace of ``sandbox``, call it as ``name`` says, and set it up.

        ``name`` is given the names that are there.
        """
        from mooring.can import namespace  # only repair needs it

        doing = f"moving {link.name} into {sandbox}"
        try:
            with Path(sandbox).open("rb") as file:
                there = namespace.inside(file.fileno(), self._names_here)
                chosen = name(there)
                self._do(rtcan.move(link.index, file.fileno(), chosen), doing)
                namespace.inside(file.fileno(), lambda: self._up_here(chosen))
        except OSError as error:
            raise _explained(doing, error.errno or 0) from error
        return chosen

    def _names_here(self) -> set[str]:
        with Kernel(self._kinds) as here:
            return {link.name for link in here.links().values()}

    def _up_here(self, name: str) -> None:
        with Kernel(self._kinds) as here:
            for link in here.links().values():
                if link.name == name:
                    here.set_up(link)

    # --- rules

    def change_rules(self, remove: Sequence[Rule], add: Sequence[Rule]) -> None:
        """Remove rules and add rules, all of it or nothing of what was to be added.

        A rule that is gone already is fine: they go with either of their interfaces.

        Raises:
            KernelError: a rule could not be added; those before it are taken back.
        """
        doing = f"adding {len(add)} can-gw rules" if add else f"removing {len(remove)} can-gw rules"
        if add and not gateway_loaded():
            load_gateway()
        # What is new first: a frame may come twice for a moment, and is never lost.
        said = self._batch([rtcan.add_rule(rule) for rule in add], doing, links=False)
        refused = next((one for one in said if one.errno), None)
        if refused is not None:
            added = [rule for rule, one in zip(add, said, strict=True) if not one.errno]
            back = [rtcan.delete_rule(rule) for rule in added]
            self._batch(back, "taking can-gw rules back", links=False)
            raise _explained(doing, refused.errno, refused.sentence, gateway=True)
        gone = (0, errno.EINVAL, errno.ENODEV)
        taken = [rtcan.delete_rule(rule) for rule in remove]
        for one in self._batch(taken, doing, links=False):
            if one.errno not in gone:
                raise _explained(doing, one.errno, one.sentence, gateway=True)

    def _batch(
        self, requests: Sequence[Request], doing: str, *, links: bool = True
    ) -> list[Verdict]:
        if links:
            self._links = None
        try:
            return self._netlink.batch(requests, doing=doing)
        except NetlinkError as error:
            raise _explained(doing, error.errno or 0) from error

    def _do(self, request: Request, doing: str) -> None:
        (said,) = self._batch([request], doing)
        if said.errno:
            raise _explained(doing, said.errno, said.sentence)


# --- modules --------------------------------------------------------------------------------------

GATEWAY_REMEDY = "can-gw is not loaded: run `modprobe can-gw`"


def gateway_loaded() -> bool:
    return (_MODULES / "can_gw").exists()


def modules() -> dict[str, bool]:
    """Which of the kernel's modules for CAN are there now; the first three load by themselves."""
    return {
        name: (_MODULES / name.replace("-", "_")).exists()
        for name in ("can", "vcan", "vxcan", "can-gw")
    }


def load_gateway() -> None:
    """Have the kernel load can-gw itself; whether it did shows when it is used.

    Asked for an interface that is not there, the kernel tries a module of that name, if the asking
    process may load modules (dev_load in net/core/dev_ioctl.c).
    """
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16s16x", b"can-gw"))


def _explained(doing: str, code: int, sentence: str = "", *, gateway: bool = False) -> KernelError:
    """The kernel's refusal with what to do about it."""
    why = os.strerror(code).lower() + (f" ({sentence})" if sentence else "")
    if code in (errno.EPERM, errno.EACCES):
        why = f"not permitted: CAP_NET_ADMIN is missing{f' ({sentence})' if sentence else ''}"
        return KernelError(doing, code, why, "run it as root, or give it that capability")
    if code == errno.EOPNOTSUPP and gateway:
        return KernelError(doing, code, "the kernel knows no such rules", GATEWAY_REMEDY)
    if code == errno.EOPNOTSUPP:
        return KernelError(doing, code, f"this kernel has no such kind ({sentence})", no_can())
    if code in (errno.ENODEV, errno.ENXIO):
        return Gone(doing, code, why)
    return KernelError(doing, code, why)


def no_can() -> str:
    """What to do where the kernel has no vcan or vxcan: depends on whose kernel it is."""
    release = os.uname().release
    version = release.split(".")
    if "microsoft" in release.lower():
        return "WSL2's kernel comes without CAN: build one with CONFIG_CAN_VXCAN"
    if "linuxkit" in release:
        return "Docker Desktop's kernel comes without CAN: use Docker Engine on a Linux host"
    if "rpi" in release or "-v7" in release or "-v8" in release:
        return "Raspberry Pi OS has vxcan since September 2026: update its kernel"
    if any(cloud in release for cloud in ("aws", "azure", "gcp", "cloud", "kvm", "oracle")):
        return f"install the package linux-modules-extra-{release}, or the generic kernel"
    if tuple(int(part) for part in version[:2] if part.isdigit()) < (4, 12):
        return "vxcan is in Linux since 4.12: use a newer kernel"
    return "run `modprobe vcan` and `modprobe vxcan`, or install a kernel that has these modules"


def _told(settings: Settings) -> str:
    told = {
        name: value
        for name in ("bitrate", "dbitrate", "fd", "restart_ms", "txqueuelen")
        if (value := getattr(settings, name)) is not None
    }
    return ", ".join(f"{name} {value}" for name, value in told.items())


# --- news -----------------------------------------------------------------------------------------

_RTMGRP_LINK = 1


def link_events() -> socket.socket:
    """A socket that is told of every new link."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    events.bind((0, _RTMGRP_LINK))
    return events


def until_news(events: socket.socket, seconds: float) -> None:
    """Until a link changes, or the time is over. What changed is for a listing to say."""
    events.settimeout(seconds)
    with suppress(OSError):
        # TimeoutError, or ENOBUFS when there was more than fits: news too.
        events.recv(1 << 16)


def drained(events: socket.socket) -> int:
    """How much news there is, which is none then."""
    events.setblocking(False)
    count = 0
    while True:
        try:
            count += bool(events.recv(1 << 16))
        except BlockingIOError:
            return count
        except OSError:
            # ENOBUFS: more than fits.
            count += 1


def by_name(links: Iterable[Link], name: str) -> Link | None:
    return next((link for link in links if link.name == name), None)
