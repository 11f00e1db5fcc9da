"""A server as a program of its own, and what its API says: ``with a_server_program(folder) as s``.

It listens on loopback of the network namespace that the caller is in, and can be killed and
started again on the same folder and port.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab.forwarding import TOP


class ServerProgram:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
        self._environment = {**kept, "PYTHONPATH": str(TOP), "MOORING_DATA_DIR": str(folder)}
        self._process: subprocess.Popen[bytes] | None = None
        self._user = ""

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mooring", "server", "--port", str(self.port)],
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.until(self._answers)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def key(self, *words: str) -> str:
        """A new key, of ``mooring keys create``."""
        ran = subprocess.run(
            [sys.executable, "-m", "mooring", "keys", "create", *words],
            env=self._environment, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        found = re.search(r"mooring_[0-9a-f]{8}_\S+", ran.stdout)
        assert found, ran.stdout
        return found[0]

    def agent_key(self) -> str:
        return self.key("--agent", "--network", "home", "--name", "test")

    def items(self, path: str) -> list[dict[str, Any]]:
        """A list of the API, as a viewer sees it."""
        if not self._user:
            self._user = self.key("--name", "viewer", "--role", "viewer")
        items: list[dict[str, Any]] = json.loads(self._get(path, self._user))["items"]
        return items

    def until(self, true: Callable[[], object], seconds: float = 30.0) -> None:
        limit = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < limit, self.log.read_text()[-4000:]
            time.sleep(0.05)

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(urllib.error.URLError, OSError):
            self._get("setup", "")
            return True
        return False

    def _get(self, path: str, key: str) -> bytes:
        request = urllib.request.Request(f"{self.url}/api/v1/{path}")
        if key:
            request.add_header("authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            data: bytes = answer.read()
            return data


@contextlib.contextmanager
def a_server_program(folder: Path) -> Iterator[ServerProgram]:
    folder.mkdir(parents=True, exist_ok=True)
    made = ServerProgram(folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()
