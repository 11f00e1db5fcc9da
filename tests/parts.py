"""The real parts that tests use: a part's name in, where it is out; skips when it is not here.

Never installs or starts anything. With CI=true in the environment a missing part is a failure, so
that a test which is never run cannot look like one that passes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "mooring" / "server" / "page" / "index.html"


class Missing(Exception):
    """A part is not here; says what it would take."""


def need(part: str) -> str:
    """Say that a test needs a part: returns its path ("" when it has none), or skips the test.

    Works in a test, in a fixture and at the top of a module. The parts are the names in ``PARTS``;
    another name is a ValueError, for a misspelt part would be skipped for ever.
    """
    if part not in PARTS:
        raise ValueError(f"no such part: {part!r}; there are {', '.join(sorted(PARTS))}")
    found, why_not = _look(part)
    if why_not is None:
        return found
    reason = f"needs {part}: {why_not}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


@cache
def _look(part: str) -> tuple[str, str | None]:
    """Where the part is, and why it is not there. Asked once: parts do not come and go."""
    try:
        return PARTS[part](), None
    except Missing as missing:
        return "", str(missing)


def _program(*names: str, package: str, folders: tuple[str, ...] = ()) -> Callable[[], str]:
    """A part that is a program: the first of the names in PATH, sbin or the folders (globs)."""

    def look() -> str:
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        for name in names:
            for pattern in folders:
                versions = sorted(Path("/").glob(f"{pattern.lstrip('/')}/{name}"), key=_by_version)
                if versions:
                    return str(versions[-1])
            if found := shutil.which(name, path=path):
                return found
        raise Missing(f"no {' or '.join(names)} on this machine (Debian's package {package})")

    return look


def _by_version(path: Path) -> list[int]:
    return [int(part) for part in path.parts if part.isdigit()]


def _root() -> str:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise Missing("the tests are not run as root")
    return ""


def _netns() -> str:
    """Root, the command ``ip``, and a kernel that lets us make network namespaces."""
    _root()
    ip = PARTS["ip"]()
    unshare = shutil.which("unshare")
    if unshare is None:
        raise Missing("no unshare on this machine (Debian's package util-linux)")
    tried = subprocess.run([unshare, "--net", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise Missing(f"no network namespace can be made: {tried.stderr.strip()}")
    return ip


def _dockerd() -> str:
    """A Docker engine that tests may start for themselves, and what it needs to come up."""
    _root()
    PARTS["iptables"]()
    return _dockerd_program()


def _vm() -> str:
    """What makes and runs the virtual machine of tests/vm."""
    _root()
    for program, package in _FOR_A_VM.items():
        _program(program, package=package)()
    return ""


def _page() -> str:
    if not PAGE.is_file():
        raise Missing("the page is not built (make web)")
    return str(PAGE)


_dockerd_program = _program("dockerd", package="docker.io")
_FOR_A_VM = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
}

PARTS: dict[str, Callable[[], str]] = {
    "apache2": _program("apache2", package="apache2-bin"),
    "avahi-daemon": _program("avahi-daemon", package="avahi-daemon"),
    "busybox": _program("busybox", package="busybox-static"),
    "caddy": _program("caddy", package="caddy"),
    "chromium": _program(
        "chromium", "chromium-browser", "google-chrome-stable", "google-chrome", package="chromium"
    ),
    "coap-server": _program("coap-server-notls", package="libcoap3-bin"),
    "dnsmasq": _program("dnsmasq", package="dnsmasq-base"),
    "docker": _program("docker", package="docker.io"),
    "dockerd": _dockerd,
    "dovecot": _program("dovecot", package="dovecot-imapd"),
    "dropbear": _program("dropbear", package="dropbear-bin"),
    "haproxy": _program("haproxy", package="haproxy"),
    "ip": _program("ip", package="iproute2"),
    "iptables": _program("iptables", package="iptables"),
    "lighttpd": _program("lighttpd", package="lighttpd"),
    "memcached": _program("memcached", package="memcached"),
    "mosquitto": _program("mosquitto", package="mosquitto"),
    "netns": _netns,
    "nginx": _program("nginx", package="nginx-light"),
    "nmap": _program("nmap", package="nmap"),
    "node": _program("node", package="nodejs"),
    "page": _page,
    "postgres": _program("postgres", package="postgresql", folders=("/usr/lib/postgresql/*/bin",)),
    "prometheus-node-exporter": _program(
        "prometheus-node-exporter", package="prometheus-node-exporter"
    ),
    "psql": _program("psql", package="postgresql", folders=("/usr/lib/postgresql/*/bin",)),
    "promtool": _program("promtool", package="prometheus"),
    "redis-server": _program("redis-server", package="redis-server"),
    "root": _root,
    "rpcbind": _program("rpcbind", package="rpcbind"),
    "rsync": _program("rsync", package="rsync"),
    "snmpd": _program("snmpd", package="snmpd"),
    "squid": _program("squid", package="squid"),
    "ssh": _program("ssh", package="openssh-client"),
    "sshd": _program("sshd", package="openssh-server"),
    "qemu": _program("qemu-system-x86_64", package="qemu-system-x86"),
    "tftpd": _program("in.tftpd", package="tftpd-hpa"),
    "unbound": _program("unbound", package="unbound"),
    "vm": _vm,
    "vsftpd": _program("vsftpd", package="vsftpd"),
}
