"""``mooring forward`` as a program beside a remote host of the lab, and questions to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.remote import RemoteHost
from tests.parts import need

TOP = Path(__file__).parents[2]
HELLO = ("nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", "hello")


class Whole:
    """The program, run where the remote host can be reached from, and questions to it."""

    def __init__(self, host: RemoteHost, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(TOP), "HOME": str(folder)}
        self.environment.pop("SSH_AUTH_SOCK", None)
        self.process: subprocess.Popen[bytes] | None = None
        self.under: tuple[str, ...] = ()
        """A program, with its arguments, that starts it."""
        self._log = folder / "log"

    def start(self, *more: str) -> None:
        """Start it; may be started again after it has ended. Its log goes on in the same file."""
        # To a file and not to a pipe, which would hold it up once it is full.
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.under, *self._command("run"), self.host.url(),
                 "--identity", str(self.host.key), "--known-hosts", str(self.host.known_hosts),
                 *more],
                env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def log(self) -> str:
        """What it has said so far, in all its runs."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _command(self, name: str) -> list[str]:
        return [
            sys.executable, "-m", "mooring", "forward", name, "--state-dir",
            str(self.folder / "state"),
        ]  # fmt: skip

    def ask(self, name: str, *more: str, code: int = 0) -> str:
        ran = subprocess.run(
            [*self._command(name), *more],
            env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout

    def status(self) -> dict[str, Any]:
        (host,) = json.loads(self.ask("status", "--format", "json"))["hosts"]
        return dict(host)

    def live(self) -> None:
        """Wait until it runs and its link is live."""

        def is_live() -> bool:
            ran = subprocess.run(
                [*self._command("status"), "--format", "json"],
                env=self.environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            return ran.returncode == 0 and '"state": "live"' in ran.stdout

        until(is_live, 60)

    def docker(self, *words: str, given: bytes = b"") -> bytes:
        """The docker command, by the environment that we print for it."""
        extra = json.loads(self.ask("env", "--format", "json"))
        ran = subprocess.run(
            [need("docker"), *words], env={**self.environment, **extra}, input=given,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout

    def end(self) -> str:
        """End it as a person would; what it logged."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        log = self.log()
        assert self.process.returncode == 0, log
        assert "Traceback" not in log
        return log

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        """End it whatever it is doing; nothing is asserted."""
        if self.process is None or self.ended():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def heard(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        data = b""
        while more := connection.recv(100):
            data += more
        return data


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)
