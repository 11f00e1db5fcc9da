"""A real dockerd of our own, in a network namespace of its own: what to start in, its API out.

``with dockerd() as docker: docker.run("web", ports={"80/tcp": 8080})``. Needs root, dockerd,
iptables and busybox; ready in about a second. Its data, sockets and namespace are its own and are
gone at the end with its containers, also those that outlived the daemon.
As a program it starts one with 20 containers, for benches: ``python -m tests.lab.engine``; with
``--record DIR`` it writes down what the engine answers.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.netns import PREFIX, Namespace, namespace
from tests.parts import need

IMAGE = "lab:busybox"
_PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "docker-proxy", "runc")
_CGROUPS = Path("/sys/fs/cgroup")


class Dockerd:
    """A running engine. ``url`` is what DOCKER_HOST takes."""

    def __init__(self, ns: Namespace, folder: Path) -> None:
        self.ns = ns
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    # The daemon

    def start(self, within: float = 30.0) -> None:
        """Start the daemon and wait until it answers; RuntimeError with its log if it does not."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        for name in ("iptables", "ip6tables"):
            # Debian's default speaks nftables, which not every kernel has; the legacy one is
            # chosen for this daemon alone.
            legacy = Path(f"/usr/sbin/{name}-legacy")
            if legacy.exists() and not (tools / name).exists():
                (tools / name).symlink_to(legacy)
        # A killed daemon takes its containerd along. Where nobody collects the dead at once the
        # next daemon would take that for alive, and wait for it.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        command = [
            need("dockerd"),
            *("--data-root", str(self.folder / "data")),
            *("--exec-root", str(self.folder / "exec")),
            *("--pidfile", str(self.folder / "pid")),
            *("--host", self.url),
            *("--cgroup-parent", f"/{self.folder.name}"),
            "--tls=false",
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = self.ns.popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PATH": f"{tools}:{os.environ.get('PATH', os.defpath)}"},
            )
        limit = time.monotonic() + within
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                said = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"dockerd did not start: {said}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return bool(self.call("GET", "/version"))
        except OSError:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon. After SIGKILL its socket stays and its containers run on."""
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # What it runs

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call of the API, its JSON decoded; RuntimeError with what it says on an error."""
        raw = isinstance(body, bytes)
        kind = "application/x-tar" if raw else "application/json"
        connection = _UnixConnection(self.socket)
        try:
            data = body if raw or body is None else json.dumps(body)
            connection.request(method, path, body=data, headers={"Content-Type": kind})
            response = connection.getresponse()
            said = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {said.decode()[:500]}")
        return json.loads(said) if said.strip() else None

    def network(self, name: str, *subnets: str, driver: str = "bridge", **options: Any) -> str:
        """Make a network; its id."""
        ipam = {"Config": [{"Subnet": subnet} for subnet in subnets]}
        ask = {
            "Name": name,
            "Driver": driver,
            "IPAM": ipam,
            "EnableIPv6": any(":" in subnet for subnet in subnets),
            **options,
        }
        made: str = self.call("POST", "/networks/create", ask)["Id"]
        return made

    def run(
        self,
        name: str,
        *,
        ports: Mapping[str, int | None] | None = None,
        network: str = "bridge",
        labels: Mapping[str, str] | None = None,
        command: Sequence[str] = ("sleep", "1d"),
        start: bool = True,
        **config: Any,
    ) -> str:
        """Make and start a container; its id. ``ports`` as ``80/tcp`` to host port or None."""
        published = {p: [{"HostPort": str(to)}] for p, to in (ports or {}).items() if to}
        ask = {
            "Image": IMAGE,
            "Cmd": ["/bin/busybox", *command],
            "StopSignal": "SIGKILL",
            "ExposedPorts": {port: {} for port in ports or {}},
            "Labels": dict(labels or {}),
            "HostConfig": {"NetworkMode": network, "PortBindings": published},
            **config,
        }
        made: str = self.call("POST", f"/containers/create?name={name}", ask)["Id"]
        if start:
            self.call("POST", f"/containers/{made}/start")
        return made

    def remove(self, *containers: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._remove, containers))

    def _remove(self, container: str) -> None:
        self.call("DELETE", f"/containers/{container}?force=1&v=1")

    def clear(self) -> None:
        """Remove all containers, and the networks that were made."""
        self.remove(*(c["Id"] for c in self.call("GET", "/containers/json?all=1")))
        for network in self.call("GET", "/networks"):
            if network["Name"] not in ("bridge", "host", "none"):
                self.call("DELETE", f"/networks/{network['Id']}")

    def populate(self, count: int = 20) -> list[str]:
        """Containers ``shop-web-1``, … in two compose projects, each with a published port.

        Three networks besides Docker's own: ``shop_default`` (IPv4 and IPv6), ``wiki_default``,
        and ``shop_back`` with a bridge name of its own. About 0.2 s each.
        """
        self.network("shop_default", "172.30.0.0/24", "fd00:30::/64")
        self.network("wiki_default", "172.31.0.0/24")
        named = {"com.docker.network.bridge.name": "shopback0"}
        self.network("shop_back", "172.30.1.0/24", Options=named, Internal=True)
        services = ("web", "db", "cache", "queue")

        def one(number: int) -> str:
            project = ("shop", "wiki")[number % 2]
            service = services[number // 2 % len(services)]
            index = number // (2 * len(services)) + 1
            return self.run(
                f"{project}-{service}-{index}",
                ports={"80/tcp": 18000 + number, "9000/udp": None},
                network=f"{project}_default",
                labels={
                    "com.docker.compose.project": project,
                    "com.docker.compose.service": service,
                    "com.docker.compose.container-number": str(index),
                },
            )

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, range(count)))


@contextmanager
def dockerd() -> Iterator[Dockerd]:
    """An engine with one image, ``IMAGE``; skips the test where a part is missing."""
    need("dockerd")
    need("netns")
    busybox = Path(need("busybox"))
    _sweep()
    with namespace() as ns:
        # Short: the path of a Unix socket has at most 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}d{os.getpid()}-", dir="/tmp"))
        engine = Dockerd(ns, folder)
        try:
            engine.start()
            engine.call(
                "POST",
                f"/images/create?fromSrc=-&repo={IMAGE.replace(':', '&tag=')}",
                _root(busybox),
            )
            yield engine
            engine.thaw()
            if engine._answers():
                engine.clear()
        finally:
            try:
                engine.end()
            finally:
                _reap(folder)


@pytest.fixture(scope="session")
def lab_docker() -> Iterator[Dockerd]:
    """One engine for all tests of a module that imports this; leave it running and empty."""
    with dockerd() as engine:
        yield engine


def _root(busybox: Path) -> bytes:
    """A root file system as a tar: busybox and a folder for each mount."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
    return data.getvalue()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


# --- cleaning up


def _reap(folder: Path) -> None:
    """End what outlived its daemon, take down its mounts and cgroups, remove its folder."""
    limit = time.monotonic() + 10
    while left := _processes(folder):
        if time.monotonic() > limit:
            raise RuntimeError(f"processes of {folder} did not end: {left}")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True, capture_output=True)
    for hierarchy in (_CGROUPS, *_CGROUPS.iterdir()):
        own = hierarchy / folder.name
        if own.is_dir():
            for below, _, _ in os.walk(own, topdown=False):
                Path(below).rmdir()
    shutil.rmtree(folder)


def _processes(folder: Path) -> list[int]:
    """Processes of one lab: its programs by their arguments, its containers by their cgroup."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            cgroup = (entry / "cgroup").read_text()
        except OSError:
            continue
        program = Path(argv[0]).name in _PROGRAMS and any(f"{folder}/" in a for a in argv)
        if program or f":/{folder.name}/" in cgroup:
            found.append(int(entry.name))
    return found


def _sweep() -> None:
    """Remove what a killed run left: folders named by a process that is long gone."""
    for folder in Path("/tmp").glob(f"{PREFIX}d*-*"):
        owner = folder.name.removeprefix(f"{PREFIX}d").partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _reap(folder)


# --- as a program


def _exhibit(engine: Dockerd) -> None:
    """One container of each kind that a list can hold, beside those of ``populate``."""
    check = {"Test": ["CMD", "/bin/busybox", "true"], "Interval": 1_000_000_000}
    engine.run("healthy", ports={"443/tcp": 18443, "53/udp": 18053}, Healthcheck=check)
    failing = {**check, "Test": ["CMD", "/bin/busybox", "false"], "Retries": 1}
    engine.run("unhealthy", Healthcheck=failing)
    engine.run("starting", Healthcheck={**check, "Interval": 3600 * 1_000_000_000})
    engine.run("on-host", network="host")
    engine.run("on-none", network="none")
    engine.run("never-started", start=False)
    linked = {"Links": ["healthy:shop"], "NetworkMode": "bridge"}
    engine.run("linked", HostConfig=linked)
    paused = engine.run("paused")
    engine.call("POST", f"/containers/{paused}/pause")
    ended = engine.run("ended", command=("true",))
    engine.call("POST", f"/containers/{ended}/wait")
    both = engine.run("in-two", network="shop_default")
    engine.call("POST", "/networks/shop_back/connect", {"Container": both})
    time.sleep(2.5)  # for the checks to have run


def _record(engine: Dockerd, folder: Path) -> None:
    """Write down what the engine answers to the three questions that we ask."""
    folder.mkdir(parents=True, exist_ok=True)
    api = engine.call("GET", "/version")["ApiVersion"]
    for name, path in (
        ("version", "/version"),
        ("containers", f"/v{api}/containers/json?all=1"),
        ("networks", f"/v{api}/networks"),
    ):
        answer = json.dumps(engine.call("GET", path), indent=1)
        (folder / f"{name}.json").write_text(answer + "\n")


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.engine")
    parser.add_argument("--containers", type=int, default=20)
    parser.add_argument("--record", type=Path, metavar="DIR", help="write its answers and end")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with dockerd() as engine:
        engine.populate(options.containers)
        if options.record:
            _exhibit(engine)
            _record(engine, options.record)
            return
        print(engine.url, engine.pid, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
