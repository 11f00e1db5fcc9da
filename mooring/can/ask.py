"""Asks a driver that serves: a verb in, its answer out. For our own commands; never waits long."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import msgspec

from mooring.can import protocol
from mooring.core.errors import MooringError, why_os

_MAX_ANSWER = 16 << 20


class _Connection(HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("mooring", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class NotServing(MooringError):
    """Nobody answers on the socket."""

    exit_code = 3


def ask(
    path: Path, verb: str, given: Mapping[str, object] | None = None, *, seconds: float = 90.0
) -> dict[str, Any]:
    """The answer to a verb, with what is given to it.

    Raises:
        NotServing: nobody does, or not in time.
        MooringError: what the driver says is wrong.
    """
    attempted = f"asking the driver on {path}"
    try:
        with closing(_Connection(path, seconds)) as connection:
            body = msgspec.json.encode(given) if given else None
            connection.request("POST", f"/{verb}", body)
            received = connection.getresponse().read(_MAX_ANSWER)
        answer = msgspec.json.decode(received, type=dict[str, Any])
    except OSError as error:
        raise NotServing(
            attempted,
            why_os(error),
            "see `systemctl status mooring-can`, or run `mooring can serve`",
        ) from error
    except (HTTPException, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotServing(attempted, "what answers is no Mooring") from error
    if "Err" in answer:
        raise MooringError(attempted, str(answer["Err"]).removeprefix(protocol.SPEAKER))
    return answer
