"""Inside the machine: sends and hears on CAN interfaces of several network namespaces at once.

``frames.py once PARTY…``: each sends one frame of every kind; what each heard of others, by id.
``frames.py stream STOP PARTY…``: the first sends numbered frames until the file STOP is there; what
each other one missed, had twice, and had in all. JSON on standard output. A party is
``NAME:PID:DEVICE``; the process is one in its namespace, the device may be a pattern.
"""

from __future__ import annotations

import ctypes
import fnmatch
import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SO_RCVBUFFORCE = 33
EXTENDED, REMOTE = 0x80000000, 0x40000000
QUIET = 0.3
"""Seconds of silence after which no further copy of a frame is on its way."""
PATIENCE = 10.0
EVERY = 0.005
"""Seconds between the frames of a stream."""


@dataclass
class Party:
    name: str
    ears: socket.socket
    mouth: socket.socket


def party(text: str) -> Party:
    name, pid, device = text.split(":")
    made: list[Party] = []

    def enter() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
            if libc.setns(namespace.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), f"entering the namespace of {name}")
        its = next(n for _, n in socket.if_nameindex() if fnmatch.fnmatch(n, device))
        made.append(Party(name, opened(its), opened(its)))

    # A namespace is entered by a thread, and its sockets stay there.
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return made[0]


def opened(device: str) -> socket.socket:
    can = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    can.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    can.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    can.bind((device,))
    return can


def classic(can_id: int, data: bytes) -> bytes:
    return struct.pack("=IB3x8s", can_id, len(data), data)


def kinds(number: int) -> list[bytes]:
    """One frame of each kind, with ids that are this party's."""
    return [
        classic(0x100 + number, b"\x11"),
        classic(EXTENDED | 0x12345600 + number, b"\x22"),
        classic(REMOTE | 0x200 + number, b""),
        struct.pack("=IBB2x64s", 0x300 + number, 12, 1, b"fd"),
    ]


def heard(one: Party) -> tuple[int, bytes] | None:
    """The next frame of another party, or None for one that was sent here."""
    frame, _, flags, _ = one.ears.recvmsg(72)
    if flags & socket.MSG_DONTROUTE:
        return None
    (can_id,) = struct.unpack_from("=I", frame)
    return can_id, frame[8:]


def once(parties: list[Party]) -> dict[str, dict[str, int]]:
    for number, one in enumerate(parties):
        for frame in kinds(number):
            one.mouth.send(frame)
    found: dict[str, Counter[str]] = {one.name: Counter() for one in parties}
    by_socket = {one.ears: one for one in parties}
    expected = len(parties) * (len(parties) - 1) * len(kinds(0))
    limit = time.monotonic() + PATIENCE
    while True:
        complete = sum(map(Counter.total, found.values())) >= expected
        left = QUIET if complete else limit - time.monotonic()
        ready, _, _ = select.select(list(by_socket), [], [], max(0.0, left))
        if not ready:
            return {name: dict(sorted(counts.items())) for name, counts in found.items()}
        for ears in ready:
            frame = heard(by_socket[ears])
            if frame is not None:
                found[by_socket[ears].name][f"{frame[0]:X}"] += 1


def stream(stop: Path, parties: list[Party]) -> dict[str, Any]:
    sender, *others = parties
    counts: dict[str, Counter[int]] = {one.name: Counter() for one in others}
    ended = threading.Event()

    def listen(one: Party) -> None:
        while not ended.is_set() or select.select([one.ears], [], [], QUIET)[0]:
            if select.select([one.ears], [], [], QUIET)[0]:
                frame = heard(one)
                if frame is not None and frame[0] == 0x7E0:
                    counts[one.name][struct.unpack_from("=Q", frame[1])[0]] += 1

    threads = [threading.Thread(target=listen, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    sent = 0
    while not stop.exists():
        sender.mouth.send(classic(0x7E0, struct.pack("=Q", sent)))
        sent += 1
        time.sleep(EVERY)
    ended.set()
    for thread in threads:
        thread.join()
    return {
        "sent": sent,
        "lost": {name: sent - len(its) for name, its in counts.items()},
        "twice": {name: sum(n > 1 for n in its.values()) for name, its in counts.items()},
    }


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "once":
        told: Any = once([party(text) for text in rest])
    else:
        parties = [party(text) for text in rest[1:]]
        told = stream(Path(rest[0]), parties)
    print(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
