"""What the benches share: a `mooring server` in a namespace, its API, an agent's environment."""

from __future__ import annotations

import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.lab.netns import Namespace

MOORING = (sys.executable, "-m", "mooring")
ROOT = Path(__file__).resolve().parents[1]

MIX = (
    "link add br0 type bridge",
    "link add br-empty type bridge",
    "link add p0 type veth peer name eth0",
    "link set p0 master br0",
    "link add wan0 type veth peer name wan1",
    "link add off0 type veth peer name off1",
    "link set br0 up",
    "link set br-empty up",
    "link set p0 up",
    "link set eth0 up",
    "link set wan0 up",
    "link set wan1 up",
    "addr add 10.1.0.2/24 dev eth0",
    "addr add 10.1.0.3/24 dev eth0",
    "addr add 10.1.0.9/32 dev eth0",
    "addr add 10.2.0.0/31 dev eth0",
    "addr add fd00:1::2/64 dev eth0 nodad",
    "addr add fd00:9::1/128 dev eth0 nodad",
    "addr add 10.3.0.1 peer 10.3.0.2/32 dev wan0",
    "addr add 192.0.2.7/29 dev wan1",
    "addr add 10.4.0.1/16 dev br0",
    "addr add 10.5.0.1/24 dev br-empty",
    "addr add 10.255.0.1/32 dev lo",
    "addr add 169.254.8.1/16 dev off0",
    "route add default via 10.1.0.1 dev eth0",
    "neigh add 10.1.0.1 lladdr 02:00:00:00:00:01 dev eth0",
)
"""A machine with interfaces and addresses of many kinds, for `ip -batch` in a namespace."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """That of a fresh user: nothing of the bench's own comes through but the path."""
    home.mkdir(parents=True, exist_ok=True)
    # The modules are taken from this checkout, whatever is installed.
    own = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", os.defpath)}
    return {**own, **more}


class Api:
    """The server's API as the holder of a key sees it, from inside a namespace."""

    def __init__(self, ns: Namespace, url: str, key: str) -> None:
        self.ns = ns
        self.url = f"{url}/api/v1/"
        self.key = key

    def get(self, path: str, **query: object) -> Any:
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(query)}")

    def post(self, path: str, body: object = None) -> Any:
        return self._ask("POST", path, body)

    def all(self, path: str, **query: object) -> list[dict[str, Any]]:
        """A whole list, page after page."""
        items: list[dict[str, Any]] = []
        page = self.get(path, limit=1000, **query)
        while True:
            items += page["items"]
            if page["next"] is None:
                return items
            page = self.get(path, limit=1000, cursor=page["next"], **query)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        return json.loads(self.ns.call(_read, request))


def _read(request: urllib.request.Request) -> bytes:
    # No proxy of the environment: the address is a namespace's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=15) as response:
        content: bytes = response.read()
        return content


class Server:
    """`mooring server` as a process inside a namespace, on the same folder and port each time."""

    def __init__(self, ns: Namespace, folder: Path, port: int = 8930) -> None:
        self.ns = ns
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.environment = environment(folder / "home")
        self.data = folder / "data"
        made = self._mooring("keys", "create", "--name", "bench", "--role", "owner")
        self.api = Api(ns, self.url, made)
        self.process: subprocess.Popen[bytes] | None = None

    def _mooring(self, *arguments: str) -> str:
        command = [*MOORING, *arguments, "--data-dir", str(self.data)]
        return self.ns.run(command, env=self.environment).stdout.strip()

    def start(self, within: float = 20.0) -> None:
        """Start it and wait until it answers."""
        command = [*MOORING, "server", f"--port={self.port}", f"--data-dir={self.data}"]
        with (self.folder / "log").open("ab") as log:
            self.process = self.ns.popen(
                [*command, "--log-format=json"], stdout=log, stderr=log, env=self.environment
            )
        limit = time.monotonic() + within
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"the server did not start, see {self.folder / 'log'}")
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return bool(self.api.get("health")["status"] == "ok")
        except (OSError, urllib.error.URLError):
            return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)

    def network(self, name: str) -> tuple[str, str]:
        """A new network; its id and a key for its agents."""
        network = self.api.post("networks", {"name": name})["id"]
        key = {"name": name, "kind": "agent", "network_id": network}
        return network, self.api.post("keys", key)["key"]


@contextmanager
def server(ns: Namespace, folder: Path) -> Iterator[Server]:
    """A server that runs while the block does."""
    folder.mkdir(parents=True, exist_ok=True)
    running = Server(ns, folder)
    try:
        running.start()
        yield running
    finally:
        running.end()


def shown_by_ip(ns: Namespace) -> dict[str, Any]:
    """Name to MAC, MTU and addresses as ``ip -j addr`` shows them, in the API's texts."""
    return {
        link["ifname"]: (
            link.get("address") if link["link_type"] == "ether" else None,
            link["mtu"],
            sorted(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]),
        )
        for link in ns.ip_json("addr")
    }


def networks_shown_by_ip(ns: Namespace) -> list[str]:
    """The networks of all addresses (of the peers', where there are), each once."""
    import ipaddress

    return sorted(
        {
            str(ipaddress.ip_network((a.get("address", a["local"]), a["prefixlen"]), strict=False))
            for link in ns.ip_json("addr")
            for a in link["addr_info"]
        }
    )


def stored(interfaces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The API's interfaces, to be compared with ``shown_by_ip``."""
    return {
        i["name"]: (
            i["mac"],
            i["mtu"],
            sorted(f"{a['ip']}/{a['prefix']}" for a in i["addresses"]),
        )
        for i in interfaces
    }


def seconds(stamp: str) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
