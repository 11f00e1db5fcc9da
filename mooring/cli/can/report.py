"""``mooring can report``: tells a server of this machine's buses; ``serve --server`` starts it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from mooring.cli.can import places
from mooring.core.lines import LEVELS

LOCK = "report"
NICENESS = 5
"""Containers do not wait for this one; they do for the plugin."""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="report buses to a server",
        description="Report this machine's buses to a server, with an agent's key in the "
        "environment (MOORING_KEY) or a file. `mooring can serve --server` starts this by itself.",
    )
    places.add(parser)
    places.add_server(parser)
    parser.add_argument("--log-level", choices=list(LEVELS), default="info", help="(%(default)s)")
    parser.add_argument("--log-format", choices=["text", "json"], default="text")
    parser.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=report)


def command_of(asked: argparse.Namespace) -> list[str]:
    """The words after ``mooring`` by which ``serve`` has its buses reported."""
    words = ["can", "report", "--until-eof", f"--server={asked.server}"]
    words += [f"--socket={asked.socket}", f"--state-dir={asked.state_dir}"]
    words += [f"--log-level={asked.log_level}", f"--log-format={asked.log_format}"]
    return words + ([f"--key-file={asked.key_file}"] if asked.key_file else [])


def report(asked: argparse.Namespace) -> int:
    from mooring.cli.options import key_of
    from mooring.cli.running import run_until_signal, settle
    from mooring.core import log
    from mooring.core.errors import UsageError
    from mooring.core.outbox import Outbox
    from mooring.core.places import STATE_DIR, make_folder, only_one
    from mooring.core.url import server_url

    log.set_up(asked.log_level, asked.log_format)
    if not asked.server:
        raise UsageError(
            "reporting the buses", "there is no server", "name one with --server http://HOST:8930"
        )
    server = server_url(asked.server)
    key = key_of(server, os.environ.get("MOORING_KEY"), asked.key_file)
    folder = make_folder(asked.state_dir / "outbox", STATE_DIR)
    os.nice(NICENESS)
    with only_one(folder, LOCK, STATE_DIR):
        outbox = Outbox(folder)
        settle()
        run_until_signal(
            _report(server, key, outbox, asked.state_dir, asked.socket, asked.until_eof)
        )
    return 0


async def _report(
    server: str, key: str, outbox: Any, state: Path, socket: Path, until_eof: bool
) -> None:
    import asyncio

    from mooring.can.reporting import Reports, report_until
    from mooring.core.identity import hostname, machine_identity
    from mooring.core.reporting import Reporter
    from mooring.core.uplink import Uplink

    over = asyncio.Event()
    if until_eof:
        # Nobody writes to it: it is readable when the plugin has ended.
        asyncio.get_running_loop().add_reader(0, over.set)
    async with (
        Uplink(server, key) as uplink,
        Reporter(outbox, uplink, ("can",), hostname()) as reporter,
    ):
        await report_until(over, Reports(state, socket, reporter, machine_identity()))
