"""A driver on a kernel that is a model, and a Docker that calls it as Docker does."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.can import recover
from mooring.can.driver import Driver
from mooring.can.journal import Journal
from mooring.can.options import GENERIC
from mooring.can.protocol import Call
from mooring.core.lines import Lines
from mooring.model.can import Link
from tests.can.fakes import HOST, FakeKernel, World


class Plugin:
    """The driver as a process that can end and start again, on one machine and one folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.world = World()
        self.boot = 1
        self.now = 1000.0
        self.options = options
        self.ids = (hashlib.sha256(b"%d" % n).hexdigest() for n in itertools.count())
        self.log = io.StringIO()
        self.restart()

    def restart(self) -> None:
        """The process ends in any way, and another one starts."""
        self.journal = Journal(self.folder, f"boot-{self.boot}")
        self.journal.read()
        self.driver = Driver(
            self.journal,
            lambda: FakeKernel(self.world),
            Lines("debug", stream=self.log),
            lives=self.world.lives,
            uptime=lambda: self.now,
            **self.options,
        )

    def reboot(self) -> None:
        self.world.reboot()
        self.boot += 1
        self.now = 10.0
        self.restart()

    def call(self, verb: str, **what: Any) -> Mapping[str, Any]:
        return self.driver.answer(Call(verb, **what))

    def network(self, network: str = "", /, **options: object) -> str:
        network = network or next(self.ids)
        given = {key.replace("__", "."): value for key, value in options.items()}
        self.call("CreateNetwork", network=network, options={GENERIC: given})
        return network

    def delete_network(self, network: str) -> None:
        self.call("DeleteNetwork", network=network)

    def endpoint(self, network: str, **options: object) -> Container:
        """``docker run`` up to CreateEndpoint."""
        given = {key.replace("__", "."): value for key, value in options.items()}
        endpoint = next(self.ids)
        self.call("CreateEndpoint", network=network, endpoint=endpoint, options=given)
        return Container(self, network, endpoint)

    def start(self, network: str, **options: object) -> Container:
        """``docker run``: endpoint, Join, and the interface moved into the container."""
        made = self.endpoint(network, **options)
        made.join()
        made.enter()
        return made


@dataclass
class Container:
    plugin: Plugin
    network: str
    endpoint: str
    answer: Mapping[str, Any] | None = None

    @property
    def sandbox(self) -> str:
        return f"/sandbox/{self.endpoint[-8:]}"

    @property
    def end(self) -> Link:
        return recover.pairs(self.plugin.world.links[HOST].values())[self.endpoint]

    def join(self) -> Mapping[str, Any]:
        self.answer = self.plugin.call(
            "Join", network=self.network, endpoint=self.endpoint, sandbox=self.sandbox
        )
        return self.answer

    def enter(self) -> None:
        assert self.answer is not None
        told = self.answer["InterfaceName"]
        name = told.get("DstName") or f"{told['DstPrefix']}0"
        self.plugin.world.start_container(told["SrcName"], self.sandbox, name)

    def stop(self) -> None:
        self.plugin.call("Leave", network=self.network, endpoint=self.endpoint)
        self.plugin.world.bring_back(self.sandbox)
        self.plugin.world.end_namespace(self.sandbox)
        self.plugin.call("DeleteEndpoint", network=self.network, endpoint=self.endpoint)

    def die(self) -> None:
        """Its namespace ends, and nobody tells the plugin."""
        self.plugin.world.end_namespace(self.sandbox)
