"""Network namespaces for tests and benches: made, entered and removed without another process.

``with namespace() as ns: ns.batch("link add b0 type bridge"); ns.call(look, "id")``. Needs root.
A namespace holds its own loopback and what is made in it; nothing joins it to this machine's
network. It is entered by threads of its own, so the caller's thread never changes place.
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

PREFIX = "moor-t"
RUN = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 1 << 20
_MNT_DETACH = 2
_OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class Namespace:
    """A network namespace by its name under /run/netns, as ``ip netns`` lists it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = RUN / name

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function in a thread that is inside; give its result or raise its error.

        Sockets that it opens, threads and processes that it starts are inside too, also an
        ``asyncio.run`` with all its threads. /proc/net is not: it is the namespace of the
        process's first thread; what reads that has to be a process of its own (``run``).
        """

        def inside() -> T:
            with self.path.open() as file:
                _check(_libc.setns(file.fileno(), _CLONE_NEWNET), f"entering {self.name}")
            return function(*args, **kwargs)

        return _in_thread(inside)

    def run(self, argv: Sequence[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """``subprocess.run`` inside, with text and an error that shows what the program said."""
        done: subprocess.CompletedProcess[str] = self.call(
            subprocess.run, argv, **{"capture_output": True, "text": True, **kwargs}
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.returncode}: {done.stderr.strip()}")
        return done

    def popen(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[bytes]:
        """A process that goes on inside; end it before the namespace ends."""
        return self.call(subprocess.Popen, argv, **kwargs)

    def ip_json(self, *args: str) -> list[dict[str, Any]]:
        """What ``ip -j …`` shows inside."""
        shown: list[dict[str, Any]] = json.loads(self.run(["ip", "-j", *args]).stdout or "[]")
        return shown

    def batch(self, *lines: str) -> None:
        """``ip -batch`` inside: lines such as ``link add b0 type bridge``."""
        self.run(["ip", "-batch", "-"], input="\n".join(lines))

    def sysctl(self, key: str, value: object) -> None:
        """Set a value below /proc/sys/net, such as ``ipv6/conf/default/accept_dad``."""
        self.call((Path("/proc/sys/net") / key).write_text, str(value))


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new namespace with its loopback up, and gone at the end whatever happened inside.

    IPv6 is quiet in it (no duplicate address detection, no router solicitations): addresses
    are there at once and links that nobody listens on stay silent.
    """
    _ready()
    _sweep()
    new = Namespace(f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}")
    try:
        _make(new)
        for which in ("all", "default"):
            new.sysctl(f"ipv6/conf/{which}/accept_dad", 0)
            new.sysctl(f"ipv6/conf/{which}/router_solicitations", 0)
        new.batch("link set lo up")
        yield new
    finally:
        _remove(new.path)


@contextmanager
def namespaces(count: int) -> Iterator[tuple[Namespace, ...]]:
    """Several namespaces, for links from one to another."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(namespace()) for _ in range(count))


def add_veths(ns: Namespace, pairs: int, *, first: int = 0, addressed: bool = True) -> None:
    """Pairs of veths ``va0``-``vb0``, ``va1``-``vb1`` …, up; each end with an IPv4 and an IPv6.

    About 1 ms a pair.
    """
    lines = []
    for number in range(first, first + pairs):
        lines.append(f"link add va{number} type veth peer name vb{number}")
        for end, name in enumerate((f"va{number}", f"vb{number}")):
            lines.append(f"link set {name} up")
            if addressed:
                lines += _addresses(2 * number + end, name)
    ns.batch(*lines)


def add_bridges(ns: Namespace, count: int, *, first: int = 0, addressed: bool = True) -> None:
    """Bridges ``brd0``, ``brd1`` … without ports, up; each with an IPv4 and an IPv6."""
    lines = []
    for number in range(first, first + count):
        lines += [f"link add brd{number} type bridge", f"link set brd{number} up"]
        if addressed:
            lines += _addresses(0x4000 + number, f"brd{number}")
    ns.batch(*lines)


def _addresses(number: int, name: str) -> list[str]:
    four = ipaddress.ip_address("10.0.0.1") + (number << 8)
    six = ipaddress.ip_address("fd00:0:0:1::1") + (number << 64)
    return [f"addr add {four}/24 dev {name}", f"addr add {six}/64 dev {name} nodad"]


def _make(ns: Namespace) -> None:
    ns.path.touch(exist_ok=False)

    def unshare_and_bind() -> None:
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        _check(
            _libc.mount(_OWN.encode(), os.fsencode(ns.path), b"none", _MS_BIND, None),
            f"binding {ns.path}",
        )

    _in_thread(unshare_and_bind)


def _remove(path: Path) -> None:
    """Take the name away; the kernel frees the rest when the last process inside has ended."""
    _libc.umount2(os.fsencode(path), _MNT_DETACH)
    path.unlink(missing_ok=True)


def _ready() -> None:
    """Make /run/netns a shared mount, as ip-netns(8) does, so that all see what is bound there."""
    RUN.mkdir(parents=True, exist_ok=True)
    run = os.fsencode(RUN)
    shared = _MS_SHARED | _MS_REC
    if _libc.mount(b"", run, b"none", shared, None):
        _check(_libc.mount(run, run, b"none", _MS_BIND | _MS_REC, None), f"binding {RUN}")
        _check(_libc.mount(b"", run, b"none", shared, None), f"sharing {RUN}")


def _sweep() -> None:
    """Remove what a killed run of these tests left: namespaces named by a process long gone."""
    for path in RUN.glob(f"{PREFIX}*-*"):
        owner = path.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _remove(path)


def _in_thread(work: Callable[[], T]) -> T:
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as failure:  # noqa: BLE001 (raised again in the caller's thread)
            failures.append(failure)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _check(outcome: int, attempted: str) -> None:
    if outcome:
        code = ctypes.get_errno()
        raise OSError(code, f"{attempted}: {os.strerror(code)}")
