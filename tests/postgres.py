"""A PostgreSQL of the test run's own: nothing in, URLs of fresh databases out.

Listens on loopback and in its own folder only, behind a password of its own, never asks the disk
to keep anything, and is ended by its own process id. Never touches another cluster.
"""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

START_S = 30.0
USER = "mooring"
THROW_AWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
}


class Cluster:
    """A running PostgreSQL. Give it the path of ``postgres``; ``close()`` ends and removes it."""

    def __init__(self, postgres: str) -> None:
        self._programs = Path(postgres).resolve().parent
        self._password = secrets.token_hex(16)
        self._numbers = itertools.count(1)
        self._templates: dict[str, str] = {}
        # Not pytest's folder, which is root's alone when root runs the tests.
        self.folder = Path(tempfile.mkdtemp(prefix="mooring-postgres-"))
        try:
            self._initialise()
            self.port = _free_port()
            self._process = self._start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def url(self, name: str) -> str:
        """The address of a database of this cluster, for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://{USER}:{self._password}@127.0.0.1:{self.port}/{name}"

    def create(self, template: str = "template1") -> str:
        """Make a database as a copy of another, to which nobody is connected; returns its name."""
        name = f"test_{next(self._numbers)}"
        self._psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Remove a database, and end the connections that a test left open."""
        self._psql(f'DROP DATABASE "{name}" WITH (FORCE)')

    def template(self, name: str, fill: Callable[[str], None]) -> str:
        """The name of a database that ``fill(url)`` prepares the first time it is asked for.

        ``fill`` must have closed its connections when it returns.
        """
        if name not in self._templates:
            database = self.create()
            fill(self.url(database))
            self._templates[name] = database
        return self._templates[name]

    def close(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=START_S)
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(self._password)
        # It refuses to run as root.
        self._owner = _unprivileged_user() if os.geteuid() == 0 else None
        if self._owner:
            for path in (self.folder, password):
                shutil.chown(path, self._owner, pwd.getpwnam(self._owner).pw_gid)
        command = ["initdb", "--pgdata=data", f"--username={USER}", "--pwfile=password"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            self._as_owner(command), cwd=self.folder, capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {**THROW_AWAY, "port": str(self.port)}
        settings["unix_socket_directories"] = str(self.folder)
        command = ["postgres", "-D", "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._as_owner(command), cwd=self.folder, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_S
        while not self._ready():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RuntimeError(f"postgres did not start: {log.read_text()}")
            time.sleep(0.02)
        return process

    def _ready(self) -> bool:
        # The postmaster writes its state here; "ready" is the last line once it takes connections.
        state = self.folder / "data" / "postmaster.pid"
        try:
            return state.read_text().rstrip().endswith("ready")
        except FileNotFoundError:
            return False

    def _as_owner(self, command: list[str]) -> list[str]:
        """The command as the cluster's owner, and ended by the kernel if the test run dies."""
        command = [str(self._programs / command[0]), *command[1:]]
        setpriv = shutil.which("setpriv")
        if setpriv:
            prefix = [setpriv, "--pdeathsig=QUIT"]
            if self._owner:
                group = str(pwd.getpwnam(self._owner).pw_gid)
                prefix += [f"--reuid={self._owner}", f"--regid={group}", "--clear-groups"]
            return [*prefix, "--", *command]
        if self._owner:
            return ["su", self._owner, "-s", "/bin/sh", "-c", 'exec "$0" "$@"', "--", *command]
        return command

    def _psql(self, statement: str) -> None:
        command = [str(self._programs / "psql"), "--no-psqlrc", "--quiet"]
        command += [f"--host={self.folder}", f"--port={self.port}", f"--username={USER}"]
        command += ["--dbname=postgres", f"--command={statement}"]
        environment = {**os.environ, "PGPASSWORD": self._password}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"psql: {statement}: {done.stderr}")


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("no user postgres or nobody, and PostgreSQL does not run as root")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
