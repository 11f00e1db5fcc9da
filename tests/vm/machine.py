"""A virtual machine with CAN and Docker: booted in half a minute, asked, ended hard, booted again.

``with machine() as vm: vm.run("candump", "can0", …)``. Its disk outlives ``vm.end_hard()``; nothing
of it outlives the block. It has no network but its own. One at a time uses two processors.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.parts import need
from tests.vm.code import code
from tests.vm.image import Image, image

BOOT = 240.0
"""Seconds that a boot may take where other things run beside it; it takes some twenty."""
PATIENCE = 120.0
TOOLS = "tools:lab"
"""Docker's image with busybox, candump, cansend and cangen."""

_COMMAND_LINE = (
    "root=/dev/vda rw console=ttyS0 quiet loglevel=3 apparmor=0 mitigations=off "
    "systemd.show_status=false"
)


class Failed(AssertionError):
    """A command in the machine ended with another status than 0."""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


class Machine:
    """One machine; off until ``boot``."""

    def __init__(self, made_from: Image, folder: Path) -> None:
        self.folder = folder
        self._image = made_from
        self._disk = folder / "disk.qcow2"
        self._code = code(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._door: IO[bytes] | None = None
        self._socket: socket.socket | None = None
        self._number = 0
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2",
             "-b", str(made_from.disk), str(self._disk)],
            check=True,
        )  # fmt: skip

    # On and off

    def boot(self) -> None:
        """Switch it on, and wait until systemd has started everything, Docker too."""
        path = self.folder / "door"
        path.unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(path), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        limit = time.monotonic() + BOOT
        while not path.exists():
            self._check_that_it_runs(limit)
            time.sleep(0.02)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._door = self._socket.makefile("rwb")
        self._hear(0, limit)
        self.run("systemctl", "is-system-running", "--wait", within=limit - time.monotonic())

    def _command(self, door: Path) -> list[str]:
        return [
            need("qemu"), "-M", "q35", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max",
            "-smp", "2", "-m", "1536", "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", f"file:{self.folder}/console",
            "-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd),
            "-append", _COMMAND_LINE,
            "-drive", f"file={self._disk},if=virtio,format=qcow2,cache=writeback",
            "-drive", f"file={self._code},if=virtio,format=raw,readonly=on",
            "-device", "virtio-serial",
            "-chardev", f"socket,id=lab,path={door},server=on,wait=off",
            "-device", "virtserialport,chardev=lab,name=lab",
        ]  # fmt: skip

    def end_hard(self) -> None:
        """Pull the plug. What had reached the disk is there at the next boot."""
        if self._socket:
            self._socket.close()
            self._socket = self._door = None
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reboot_hard(self) -> None:
        self.end_hard()
        self.boot()

    # What is done in it

    def run(self, *command: str, given: str = "", within: float = PATIENCE) -> str:
        """Run a program there; what it wrote. Raises ``Failed``."""
        ran = self.tried(*command, given=given, within=within)
        if ran.code:
            raise Failed(f"{' '.join(command)} ended with {ran.code}: {ran.err or ran.out}")
        return ran.out

    def shell(self, script: str, *words: str, within: float = PATIENCE) -> str:
        """Run a script by sh -e; the words are its $1, $2, …. Raises ``Failed``."""
        return self.run("sh", "-ec", script, "sh", *words, within=within)

    def tried(self, *command: str, given: str = "", within: float = PATIENCE) -> Ran:
        """Run a program there, however it ends. Its output must end with it."""
        self._number += 1
        asked = {"id": self._number, "run": command, "given": given, "within": within}
        assert self._door, "the machine is off"
        self._door.write(json.dumps(asked).encode() + b"\n")
        self._door.flush()
        said = self._hear(self._number, time.monotonic() + within + 30)
        return Ran(said["code"], said["out"], said["err"])

    def _hear(self, number: int, limit: float) -> dict[str, Any]:
        """The answer with this number."""
        assert self._door
        assert self._socket
        while True:
            self._check_that_it_runs(limit)
            self._socket.settimeout(max(0.1, limit - time.monotonic()))
            line = self._door.readline()
            if not line:
                raise RuntimeError(f"the machine is gone:\n{self.console()}")
            said: dict[str, Any] = json.loads(line)
            if said["id"] == number:
                return said

    def _check_that_it_runs(self, limit: float) -> None:
        assert self._process
        if self._process.poll() is not None:
            log = (self.folder / "qemu.log").read_text(errors="replace")
            raise RuntimeError(f"the machine ended: {log[-2000:]}\n{self.console()}")
        if time.monotonic() > limit:
            raise RuntimeError(f"the machine did not answer in time:\n{self.console()}")

    def console(self) -> str:
        """The end of what it wrote to its console."""
        file = self.folder / "console"
        return file.read_text(errors="replace")[-2000:] if file.exists() else ""

    def write(self, path: str, text: str) -> None:
        """Write a file there."""
        self.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "sh", path, given=text)

    def make_tools(self) -> None:
        """Have Docker's image ``TOOLS``; it stays on the disk."""
        self.run("docker", "import", "/var/lib/lab-tools.tar", TOOLS)


@contextmanager
def machine() -> Iterator[Machine]:
    """A machine with a fresh disk, booted; skips the test where a part is missing."""
    need("vm")
    made_from = image()
    folder = Path(tempfile.mkdtemp(prefix=f"mooring-vm{os.getpid()}-", dir="/tmp"))
    try:
        vm = Machine(made_from, folder)
        try:
            vm.boot()
            yield vm
        finally:
            vm.end_hard()
    finally:
        shutil.rmtree(folder)
