"""Networks and endpoints on disk, to be known again after a crash or a reboot. Asks no kernel.

Two files, for two ways to live. ``networks.json`` must outlive a power cut: it is synced, and its
predecessor is kept beside it. ``endpoints.json`` holds for one run of the machine only, since
Docker makes new endpoints after a reboot: it must outlive this process, and is not synced, so
that joining does not wait for a disk. Both are replaced by rename and so are whole at any moment.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from mooring.core.errors import MooringError, why_os
from mooring.model.can import Endpoint, Network

MAX_BYTES = 16 << 20
"""Of a file that is read back: some 10,000 endpoints."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

FILES = _NETWORKS, _ENDPOINTS = "networks.json", "endpoints.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class _Networks:
    version: int
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class _Endpoints:
    version: int
    boot: str
    endpoints: tuple[Endpoint, ...]


File = TypeVar("File", _Networks, _Endpoints)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file of the journal that could not be read, and what was taken in its place."""

    file: str
    reason: str
    instead: str


def boot_id() -> str:
    """The kernel's id of this run of the machine."""
    return BOOT_ID.read_text().strip()


class Journal:
    """What is known of networks and endpoints. Any thread may ask and change it.

    ``networks`` and ``endpoints`` are replaced at every change and never altered, so that who
    took one sees a state that was.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self.folder = folder
        self.boot = boot
        self.set_aside: list[SetAside] = []
        self.networks: Mapping[str, Network] = {}
        self.endpoints: Mapping[str, Endpoint] = {}
        self._lock = threading.Lock()
        self._unwritten = False

    def read(self, *, touch: bool = True) -> None:
        """Take up what is on disk: endpoints only if they are of this run of the machine.

        A file that cannot be read is set aside, unless nothing is to be touched.

        Raises:
            MooringError: the folder cannot be read.
        """
        networks = self._load(_NETWORKS, _Networks, touch)
        self.networks = {one.id: one for one in networks.networks} if networks else {}
        endpoints = self._load(_ENDPOINTS, _Endpoints, touch)
        if endpoints and endpoints.boot == self.boot:
            self.endpoints = {one.id: one for one in endpoints.endpoints}

    def put_network(self, network: Network) -> None:
        """Raises MooringError, and knows it as little as before, if it cannot be written."""
        with self._lock:
            before = self.networks
            self.networks = {**before, network.id: network}
            try:
                self._write_networks()
            except MooringError:
                self.networks = before
                raise

    def drop_network(self, network: str) -> None:
        """Forget it, which holds also if it cannot be written yet (MooringError)."""
        with self._lock:
            if network in self.networks or self._unwritten:
                self.networks = {k: v for k, v in self.networks.items() if k != network}
                self._write_networks()

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Know it, which holds also if it cannot be written (MooringError)."""
        with self._lock:
            self.endpoints = {**self.endpoints, endpoint.id: endpoint}
            self._write_endpoints()

    def drop_endpoints(self, *endpoints: str) -> None:
        """Forget them, which holds also if it cannot be written (MooringError)."""
        with self._lock:
            if any(one in self.endpoints for one in endpoints):
                left = {k: v for k, v in self.endpoints.items() if k not in endpoints}
                self.endpoints = left
                self._write_endpoints()

    def of_device(self, device: str) -> list[tuple[Endpoint, Network]]:
        """The endpoints of a bus, which several networks may share, with the network of each."""
        networks, endpoints = self.networks, self.endpoints
        return [
            (one, networks[one.network])
            for one in endpoints.values()
            if one.network in networks and networks[one.network].device == device
        ]

    # --- files

    def _write_networks(self) -> None:
        self._unwritten = True
        content = msgspec.json.encode(_Networks(_VERSION, tuple(self.networks.values())))
        self._replace(_NETWORKS, content, synced=True)
        self._unwritten = False

    def _write_endpoints(self) -> None:
        told = _Endpoints(_VERSION, self.boot, tuple(self.endpoints.values()))
        self._replace(_ENDPOINTS, msgspec.json.encode(told), synced=False)

    def _replace(self, name: str, content: bytes, *, synced: bool) -> None:
        path = self.folder / name
        new, old = path.with_suffix(".new"), path.with_suffix(".old")
        try:
            write(new, content, synced=synced)
            if synced:
                _keep(path, old)
            os.replace(new, path)
            if synced:
                sync_folder(self.folder)
        except OSError as error:
            raise MooringError(
                f"writing the journal {path}", why_os(error), "make room, or see whose folder it is"
            ) from error

    def _load(self, name: str, shape: type[File], touch: bool) -> File | None:
        """The file, or its predecessor if it cannot be read, or nothing."""
        path = self.folder / name
        found, reason = _decode(path, shape)
        if reason is None:
            return found
        bad = path.with_suffix(".bad") if touch else path
        with suppress(OSError):
            os.replace(path, bad)
        old = path.with_suffix(".old")
        found, worse = _decode(old, shape)
        instead = str(old) if found else worse or "nothing"
        self.set_aside.append(SetAside(str(bad), reason, instead))
        return found


def _keep(path: Path, old: Path) -> None:
    """Give a file a second name, so that there is no moment without it."""
    link = path.with_suffix(".link")
    link.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        os.link(path, link)
        os.replace(link, old)


def write(path: Path, content: bytes, *, synced: bool) -> None:
    """A file with this content, for its owner only, on the disk when ``synced``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        if synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decode(path: Path, shape: type[File]) -> tuple[File | None, str | None]:
    """What a file holds, None if there is none; and why it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise MooringError(f"reading the journal {path}", why_os(error)) from error
    if len(content) > MAX_BYTES:
        return None, f"more than {MAX_BYTES} bytes"
    try:
        found = msgspec.json.decode(content, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, str(error)
    if found.version != _VERSION:
        return None, f"version {found.version} of the journal, where {_VERSION} is understood"
    return found, None
