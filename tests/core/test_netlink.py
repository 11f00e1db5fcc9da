from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any

import pytest

from mooring.core import netlink, nlmsg
from mooring.core.netlink import Netlink, NetlinkError
from tests.lab.netns import Namespace, add_veths, namespace
from tests.parts import need

IFINFOMSG = struct.Struct("=BxHiII")
ALL_LINKS = IFINFOMSG.pack(0, 0, 0, 0, 0)
NAME, LINKINFO, INFO_KIND = 3, 18, 1
CREATE = nlmsg.NLM_F_CREATE | nlmsg.NLM_F_EXCL


@pytest.fixture
def ns() -> Iterator[Namespace]:
    need("netns")
    with namespace() as made:
        yield made


def names(payloads: list[bytes]) -> set[str]:
    return {nlmsg.as_text(nlmsg.attributes(one, IFINFOMSG.size)[NAME]) for one in payloads}


def new_link(name: str, kind: str) -> bytes:
    info = nlmsg.nested(LINKINFO, nlmsg.text(INFO_KIND, kind))
    return ALL_LINKS + nlmsg.text(NAME, name) + info


# The real kernel


@pytest.mark.real
def test_a_dump_brings_every_link_of_the_namespace(ns: Namespace) -> None:
    add_veths(ns, 100, addressed=False)

    def dump() -> netlink.Dump:
        with Netlink() as kernel:
            return kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing links")

    found = ns.call(dump)
    expected = {"lo"} | {f"v{end}{number}" for end in "ab" for number in range(100)}
    assert names(found.payloads) == expected
    assert found.consistent
    assert not found.cut


@pytest.mark.real
def test_a_cut_dump_says_so_and_the_next_question_gets_its_own_answer(ns: Namespace) -> None:
    add_veths(ns, 100, addressed=False)

    def dump() -> tuple[netlink.Dump, netlink.Dump]:
        with Netlink() as kernel:
            few = kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing links", most=7)
            return few, kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing links")

    few, whole = ns.call(dump)
    assert few.cut
    assert len(few.payloads) == 7
    assert len(names(whole.payloads)) == 201
    assert not whole.cut


@pytest.mark.real
def test_links_are_made_and_removed_by_the_same_framing(ns: Namespace) -> None:
    def make_and_remove() -> tuple[set[str], set[str]]:
        with Netlink() as kernel:
            kernel.request(netlink.RTM_NEWLINK, CREATE, new_link("b0", "bridge"), doing="making b0")
            made = names(kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing").payloads)
            gone = ALL_LINKS + nlmsg.text(NAME, "b0")
            kernel.request(netlink.RTM_DELLINK, 0, gone, doing="removing b0")
            left = names(kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing").payloads)
            return made, left

    assert ns.call(make_and_remove) == ({"lo", "b0"}, {"lo"})


@pytest.mark.real
def test_a_refusal_carries_the_errno_the_attempt_and_the_kernels_sentence(ns: Namespace) -> None:
    def ask(body: bytes) -> NetlinkError:
        with Netlink() as kernel:
            with pytest.raises(NetlinkError) as raised:
                kernel.request(netlink.RTM_NEWLINK, CREATE, body, doing="making x0")
            # The socket is as good as before.
            kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing links")
            return raised.value

    exists = ns.call(ask, new_link("lo", "bridge"))
    assert exists.errno == errno.EEXIST
    unknown = ns.call(ask, new_link("x0", "nosuchkind"))
    assert unknown.errno == errno.EOPNOTSUPP
    assert "making x0" in str(unknown)
    assert "Unknown device type" in str(unknown)


@pytest.mark.real
def test_a_request_that_asks_is_answered_with_what_was_asked_for(ns: Namespace) -> None:
    def ask() -> list[nlmsg.Message]:
        with Netlink() as kernel:
            body = IFINFOMSG.pack(0, 0, 1, 0, 0)
            return kernel.request(netlink.RTM_GETLINK, 0, body, doing="asking for lo")

    (answer,) = ns.call(ask)
    assert answer.kind == netlink.RTM_NEWLINK
    assert names([answer.payload]) == {"lo"}


@pytest.mark.real
def test_dumps_end_while_links_come_and_go(ns: Namespace) -> None:
    add_veths(ns, 150, addressed=False)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            ns.batch("link add c0 type bridge", "link del c0")

    def dump() -> list[set[str]]:
        with Netlink() as kernel:
            return [
                names(kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing").payloads)
                for _ in range(30)
            ]

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        seen = ns.call(dump)
    finally:
        stop.set()
        thread.join()
    steady = {"lo"} | {f"v{end}{number}" for end in "ab" for number in range(150)}
    assert all(steady <= once for once in seen)


# A kernel played by the test, for what the real one does not do on demand


class Played:
    """A netlink socket: what is sent is kept, and each request is answered by a script.

    The script gives the datagrams for a request, by its sequence number and the socket's port;
    a datagram is bytes from the kernel, or (bytes, sender's port). After the last is silence.
    """

    script: Callable[[int, int], Iterable[Any]]
    port = 4711

    def __init__(self, *args: Any) -> None:
        self.waiting: Iterator[Any] = iter(())

    def bind(self, address: tuple[int, int]) -> None: ...
    def setsockopt(self, *args: int) -> None:
        raise OSError(errno.ENOPROTOOPT, "an old kernel")

    def settimeout(self, seconds: float) -> None: ...
    def close(self) -> None: ...
    def getsockname(self) -> tuple[int, int]:
        return self.port, 0

    def send(self, data: bytes) -> None:
        (request,) = nlmsg.messages(data)
        self.waiting = iter(type(self).script(request.sequence, self.port))

    def recvfrom_into(self, buffer: bytearray, size: int, flags: int) -> Any:
        datagram = next(self.waiting, None)
        if datagram is None:
            raise TimeoutError
        data, sender = datagram if isinstance(datagram, tuple) else (datagram, 0)
        buffer[: len(data)] = data[: len(buffer)]
        return len(data), (sender, 0)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    monkeypatch.setattr(socket, "AF_NETLINK", 16, raising=False)
    monkeypatch.setattr(netlink.socket, "socket", Played)
    return Played


def said(kind: int, sequence: int, port: int, body: bytes = b"", flags: int = 0) -> bytes:
    size = 16 + len(body)
    return struct.pack("=IHHII", size, kind, flags, sequence, port) + body


DONE = struct.pack("=i", 0)


def link(sequence: int, port: int, name: str, flags: int = 0) -> bytes:
    return said(16, sequence, port, ALL_LINKS + nlmsg.text(NAME, name), flags)


def dump(most: int | None = None) -> netlink.Dump:
    with Netlink() as kernel:
        return kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing links", most=most)


def test_an_interrupted_dump_is_asked_for_again(played: type[Played]) -> None:
    asked = []

    def script(sequence: int, port: int) -> list[Any]:
        asked.append(sequence)
        flags = nlmsg.NLM_F_DUMP_INTR if len(asked) < 3 else 0
        name = f"eth{len(asked)}"
        return [link(sequence, port, name) + said(3, sequence, port, DONE, flags)]

    played.script = staticmethod(script)
    found = dump()
    assert names(found.payloads) == {"eth3"}
    assert found.consistent
    assert len(set(asked)) == 3


def test_a_dump_that_is_always_interrupted_is_given_and_marked(played: type[Played]) -> None:
    asked = []

    def script(sequence: int, port: int) -> list[Any]:
        asked.append(sequence)
        interrupted = nlmsg.NLM_F_DUMP_INTR
        return [link(sequence, port, "eth0", interrupted), said(3, sequence, port, DONE)]

    played.script = staticmethod(script)
    found = dump()
    assert names(found.payloads) == {"eth0"}
    assert not found.consistent
    assert len(asked) == netlink.TRIES


def test_what_is_not_an_answer_to_the_question_is_passed_over(played: type[Played]) -> None:
    played.script = staticmethod(
        lambda sequence, port: [
            link(sequence - 1, port, "late"),
            link(sequence, port + 1, "anothers"),
            (link(sequence, port, "forged") + said(3, sequence, port, DONE), 999),
            said(nlmsg.NLMSG_NOOP, sequence, port) + link(sequence, port, "eth0"),
            said(3, sequence, port, DONE),
        ]
    )
    assert names(dump().payloads) == {"eth0"}


def test_a_kernel_that_falls_silent_is_given_up(played: type[Played]) -> None:
    played.script = staticmethod(lambda sequence, port: [link(sequence, port, "eth0")])
    with pytest.raises(NetlinkError, match="listing links") as raised:
        dump()
    assert raised.value.errno == errno.ETIMEDOUT


def test_a_dump_that_never_ends_is_given_up(played: type[Played]) -> None:
    played.script = staticmethod(lambda sequence, port: repeat(link(sequence, port, "eth0")))
    with Netlink(timeout=0.05) as kernel, pytest.raises(NetlinkError) as raised:
        kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing links")
    assert raised.value.errno == errno.ETIMEDOUT


@pytest.mark.parametrize(
    ("datagram", "code"),
    [
        (lambda s, p: said(nlmsg.NLMSG_ERROR, s, p, struct.pack("=i", -errno.EPERM)), errno.EPERM),
        (lambda s, p: said(3, s, p, struct.pack("=i", -errno.EINTR)), errno.EINTR),
        (lambda s, p: said(nlmsg.NLMSG_OVERRUN, s, p), errno.ENOBUFS),
        (lambda s, p: link(s, p, "eth0")[:-8], errno.EBADMSG),
        (lambda s, p: said(nlmsg.NLMSG_ERROR, s, p), errno.EBADMSG),
        (lambda s, p: bytes(netlink._RECEIVE_BUFFER + 1), errno.EMSGSIZE),
    ],
)
def test_each_way_in_which_a_dump_fails_has_its_errno(
    played: type[Played], datagram: Callable[[int, int], bytes], code: int
) -> None:
    played.script = staticmethod(lambda sequence, port: [datagram(sequence, port)])
    with pytest.raises(NetlinkError) as raised:
        dump()
    assert raised.value.errno == code
    assert os.strerror(code) in str(raised.value)


def test_what_the_kernel_took_long_to_say_is_still_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    with Netlink(timeout=0.05) as kernel:
        send = kernel._send

        def late(*request: Any) -> None:
            send(*request)
            time.sleep(0.1)

        monkeypatch.setattr(kernel, "_send", late)
        assert kernel.dump(netlink.RTM_GETLINK, ALL_LINKS, doing="listing").payloads
