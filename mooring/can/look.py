"""A look at what is: journal and kernel read, a ``Health`` out. Changes nothing."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from mooring.can import ask, engine, health, recover, registry
from mooring.can.buses import sandbox_lives
from mooring.can.journal import Journal, boot_id
from mooring.can.kernel import Kernel, modules
from mooring.core.errors import MooringError
from mooring.model.can import Finding, Health, Weight

ANSWERS = 2.0
"""Seconds in which a driver that is well says that it is there."""


def look(state: Path, socket: Path) -> Health:
    """Networks and endpoints against the kernel, Docker, the driver, and the journal's folder.

    Raises:
        MooringError: the journal or the kernel cannot be read at all.
    """
    journal = known(state)
    with Kernel() as kernel:
        links, rules = kernel.links(), kernel.rules()
    how = recover.conditions(
        journal.endpoints.values(),
        links.values(),
        sandbox_lives,
        time.clock_gettime(time.CLOCK_BOOTTIME),
    )
    found = health.check(
        journal.networks,
        journal.endpoints,
        links.values(),
        rules,
        modules(),
        how,
    )
    differs = engine.differs(lambda: known(state).networks, socket.stem)
    unlike = registry.findings(differs) if differs else []
    return replace(found, findings=(*found.findings, *unlike, *_around(journal, socket)))


def known(state: Path) -> Journal:
    """The journal as it is now. Raises MooringError."""
    journal = Journal(state, boot_id())
    journal.read(touch=False)
    return journal


def _around(journal: Journal, socket: Path) -> list[Finding]:
    findings = [
        Finding(
            Weight.WARNING, bad.file, f"cannot be read ({bad.reason})",
            f"{bad.instead} is used instead; compare it with `docker network ls`",
        )
        for bad in journal.set_aside
    ]  # fmt: skip
    if not os.access(journal.folder, os.W_OK | os.X_OK):
        findings.append(
            Finding(Weight.ERROR, str(journal.folder), "the journal cannot be written",
                    "make the folder, or see whose it is")
        )  # fmt: skip
    try:
        ask.ask(socket, "Mooring.Status", seconds=ANSWERS)
    except MooringError as error:
        findings.append(Finding(Weight.ERROR, str(socket), error.why, error.remedy))
    return findings
