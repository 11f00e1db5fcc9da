"""The plugin as a process: journal, driver and socket put together, and what it says of itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mooring.can.companion import accompany
from mooring.can.driver import Driver
from mooring.can.journal import Journal, boot_id
from mooring.can.kernel import Kernel, link_events, until_news
from mooring.can.serve import listening, serve
from mooring.can.unanswered import Unanswered
from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError
from mooring.core.lines import Lines
from mooring.core.places import STATE_DIR, make_folder, only_one
from mooring.model.can import Recovered

SOCKET = Path("/run/docker/plugins/mooring-can.sock")
STATE = Path("/var/lib/mooring/can")
LOCK = "can"
QUIET = 3600.0
"""Seconds after which devices are looked at though nothing was heard of them."""
ASK = 10.0
"""Seconds from the start until Docker is asked for its networks, and between two tries."""
ASKED = 90
COMPANION = Backoff(first=1.0, cap=60.0)
SETTLE = 0.1
"""Seconds from the first news of a device to the look at it."""


@dataclass(frozen=True, slots=True)
class Config:
    socket: Path = SOCKET
    state: Path = STATE
    recover: bool = True
    strict_ipam: bool = False
    companion: tuple[str, ...] = ()
    """What runs beside it, and reports."""


def run(config: Config, log: Lines) -> None:
    """Serve until a signal. The wiring stays as it is: containers go on without us.

    Raises:
        MooringError: what is wrong with the folder or the socket.
    """
    with only_one(make_folder(config.state, STATE_DIR), LOCK, STATE_DIR):
        driver = Driver(
            read_journal(config.state, log),
            Kernel,
            log,
            recover=config.recover,
            strict_ipam=config.strict_ipam,
        )
        unanswered = Unanswered(config.state / "calls", driver.journal.boot, log)
        with listening(config.socket, log) as listener:
            if config.recover:
                watch = partial(_watch, driver, log)
                threading.Thread(target=watch, name="watch", daemon=True).start()
                # Beside the first calls, which wait for the bus that they need and no other.
                threading.Thread(target=_mend, args=(driver, log), name="mend", daemon=True).start()
                agree = partial(_agree, driver, config.socket.stem, log)
                threading.Thread(target=agree, name="agree", daemon=True).start()
            if config.companion:
                beside = partial(accompany, config.companion, log, COMPANION)
                threading.Thread(target=beside, name="companion", daemon=True).start()
            serve(listener, driver.answer, unanswered, log)


@contextmanager
def alone(state: Path, log: Lines) -> Iterator[Driver]:
    """A driver for this process, where none serves."""
    with only_one(make_folder(state, STATE_DIR), LOCK, STATE_DIR):
        yield Driver(read_journal(state, log), Kernel, log)


def read_journal(folder: Path, log: Lines) -> Journal:
    journal = Journal(folder, boot_id())
    journal.read()
    for bad in journal.set_aside:
        log.error(
            "journal_set_aside",
            file=bad.file,
            reason=bad.reason,
            instead=bad.instead,
        )
    return journal


def _mend(driver: Driver, log: Lines) -> None:
    try:
        driver.buses.mend()
    except ExceptionGroup as group:
        for error in group.exceptions:
            log.error("bus_not_mended", error=str(error))


def _agree(driver: Driver, name: str, log: Lines) -> None:
    """Once Docker answers, know the networks that it has; those that it has no more are told."""
    time.sleep(ASK)
    # Not loaded before the socket answers.
    from mooring.can import engine
    from mooring.can.health import REPAIR

    for _ in range(ASKED):
        found = engine.differs(lambda: driver.journal.networks, name)
        if found is not None:
            break
        time.sleep(ASK)
    else:
        return
    for one in found.orphaned:
        log.warning(
            "network_gone_from_docker", network=one.id[:12], device=one.device, remedy=REPAIR
        )
    settled = engine.settle(replace(found, orphaned=()), lambda _: True, driver.answer)
    for unknown in found.unknown:
        taken_up = driver.journal.networks.get(unknown.id)
        if taken_up is not None:
            driver.buses.note(Recovered.NETWORK, taken_up.device, unknown.id)
    for error in settled.failed:
        log.error("network_not_taken_up", error=error)


def _watch(driver: Driver, log: Lines) -> None:
    """Wire a bus again when its interface comes back: an adapter that was pulled and plugged."""
    with link_events() as events:
        seen = driver.buses.devices()
        while True:
            until_news(events, QUIET)
            # One plug makes several messages.
            time.sleep(SETTLE)
            try:
                seen = driver.buses.mend_returned(seen)
            except MooringError as error:
                log.error("devices_not_listed", error=str(error))
