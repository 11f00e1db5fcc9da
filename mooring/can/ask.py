"""Asks a driver that serves: a verb in, its answer out. For our own commands; never waits long."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec

from mooring.can import protocol
from mooring.core.errors import MooringError, why_os

_MAX_ANSWER = 16 << 20


class NotServing(MooringError):
    """Nobody answers on the socket."""

    exit_code = 3


def ask(path: Path, verb: str, *, seconds: float = 90.0) -> dict[str, Any]:
    """The answer to a verb without arguments.

    Raises:
        NotServing: nobody does, or not in time.
        MooringError: what the driver says is wrong.
    """
    attempted = f"asking the driver on {path}"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            head = f"POST /{verb} HTTP/1.1\r\nHost: mooring\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
            received = b""
            while (part := connection.recv(1 << 16)) and len(received) < _MAX_ANSWER:
                received += part
    except OSError as error:
        raise NotServing(
            attempted,
            why_os(error),
            "see `systemctl status mooring-can`, or run `mooring can serve`",
        ) from error
    try:
        answer = msgspec.json.decode(received.partition(b"\r\n\r\n")[2], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotServing(attempted, "what answers is no Mooring") from error
    if "Err" in answer:
        raise MooringError(attempted, str(answer["Err"]).removeprefix(protocol.SPEAKER))
    return answer
