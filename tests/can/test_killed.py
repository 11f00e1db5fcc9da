"""A process that is killed while many call it: each caller gets the answer to its own call."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

MORTAL = Path(__file__).with_name("mortal.py")
TOP = MORTAL.parents[2]
VERBS = ("Join", "CreateEndpoint", "Leave", "DeleteEndpoint")
AT_ONCE = 6


def ask(path: Path, verb: str, endpoint: str) -> dict[str, Any]:
    """As Docker does: what was sent of a call is not sent again when its connection is lost."""
    body = json.dumps({"NetworkID": "ab" * 32, "EndpointID": endpoint}).encode()
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(path))
            head = f"POST /NetworkDriver.{verb} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
            received = b""
            try:
                connection.sendall(head.encode() + body)
                while part := connection.recv(65536):
                    received += part
            except ConnectionError:
                received = b""
            if received:
                answer: dict[str, Any] = json.loads(received.partition(b"\r\n\r\n")[2])
                return answer
            body = b""


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("moment", ["begun", "done", "answered"])
def test_all_who_call_a_process_that_is_killed_are_answered_by_the_next_one(
    verb: str, moment: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.sock"
    endpoints = [f"{n:064x}" for n in range(AT_ONCE)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(20)
        command = [sys.executable, str(MORTAL), str(listener.fileno()), str(tmp_path), "2", moment]
        current: list[subprocess.Popen[bytes]] = []
        kills: list[int] = []
        over = threading.Event()

        def keep() -> None:
            """As systemd does with ``Restart=always``."""
            while not over.is_set():
                with (tmp_path / "log").open("ab") as log:
                    process = subprocess.Popen(
                        command,
                        stderr=log,
                        pass_fds=[listener.fileno()],
                        env={**os.environ, "PYTHONPATH": str(TOP)},
                    )
                current.append(process)
                kills.append(process.wait())

        keeping = threading.Thread(target=keep)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            # All of them are there before anybody is.
            answers = [pool.submit(ask, path, verb, one) for one in endpoints]
            keeping.start()
            told = [one.result(60) for one in answers]
        over.set()
        current[-1].terminate()
        keeping.join(60)
    log_text = (tmp_path / "log").read_text()
    assert kills[0] == -9, log_text
    assert told == [{"Endpoint": one} for one in endpoints], log_text
    done = (tmp_path / "done").read_text().split()[1::2]
    assert set(done) == set(endpoints)
    assert list((tmp_path / "calls").iterdir()) == [] or moment == "answered"
