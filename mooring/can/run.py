"""The plugin as a process: journal, driver and socket put together, and what it says of itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.can.driver import Driver
from mooring.can.journal import Journal, boot_id
from mooring.can.kernel import Kernel
from mooring.can.protocol import Call
from mooring.can.serve import listening, serve
from mooring.core.errors import MooringError
from mooring.core.lines import Lines
from mooring.core.places import make_folder, only_one

SOCKET = Path("/run/docker/plugins/mooring-can.sock")
STATE = Path("/var/lib/mooring/can")
LOCK = "can"


@dataclass(frozen=True, slots=True)
class Config:
    socket: Path = SOCKET
    state: Path = STATE
    recover: bool = True
    strict_ipam: bool = False


def run(config: Config, log: Lines) -> None:
    """Serve until a signal. The wiring stays as it is: containers go on without us.

    Raises:
        MooringError: what is wrong with the folder or the socket.
    """
    with only_one(make_folder(config.state), LOCK):
        driver = Driver(
            read_journal(config.state, log),
            Kernel,
            log,
            recover=config.recover,
            strict_ipam=config.strict_ipam,
        )
        with listening(config.socket, log) as listener:
            if config.recover:
                # Beside the first calls, which wait for the bus that they need and no other.
                threading.Thread(target=_mend, args=(driver, log), name="mend", daemon=True).start()
            serve(listener, driver.answer, log)


def mend_alone(state: Path, log: Lines) -> Mapping[str, Any]:
    """What ``Mooring.Repair`` answers, done by this process where no driver serves."""
    with only_one(make_folder(state), LOCK):
        driver = Driver(read_journal(state, log), Kernel, log)
        return driver.answer(Call("Repair"))


def read_journal(folder: Path, log: Lines) -> Journal:
    journal = Journal(folder, boot_id())
    journal.read()
    for bad in journal.set_aside:
        log.error(
            "a file of the journal was set aside",
            file=bad.file,
            reason=bad.reason,
            instead=bad.instead,
        )
    return journal


def _mend(driver: Driver, log: Lines) -> None:
    try:
        driver.mend()
    except ExceptionGroup as group:
        for error in group.exceptions:
            log.error("a bus is not mended", error=str(error))
    except MooringError as error:
        log.error("not mended", error=str(error))
