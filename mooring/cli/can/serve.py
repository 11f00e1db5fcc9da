"""``mooring can serve``: the network driver, until a signal ends it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mooring.can import run
from mooring.cli.can import places, report
from mooring.core.lines import LEVELS, Lines


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "serve", help="run the network driver", description="Run the network driver for Docker."
    )
    parser.add_argument(
        "--socket", type=Path, default=run.SOCKET, metavar="PATH",
        help="where Docker finds it; not used when systemd hands a socket over (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--state-dir", type=Path, default=run.STATE, metavar="FOLDER",
        help="where networks and endpoints are kept (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--no-recover", action="store_true",
        help="fail where something is missing that could be made again",
    )  # fmt: skip
    parser.add_argument(
        "--strict-ipam", action="store_true",
        help="refuse networks that were not created with --ipam-driver null",
    )  # fmt: skip
    places.add_server(parser)
    parser.add_argument("--log-level", choices=list(LEVELS), default="info", help="(%(default)s)")
    parser.add_argument("--log-format", choices=["text", "json"], default="text")
    parser.set_defaults(run=serve)


def _program(words: list[str]) -> tuple[str, ...]:
    return (sys.executable, "-m", "mooring", *words)


def serve(asked: argparse.Namespace) -> int:
    config = run.Config(
        socket=asked.socket,
        state=asked.state_dir,
        recover=not asked.no_recover,
        strict_ipam=asked.strict_ipam,
        companion=_program(report.command_of(asked)) if asked.server else (),
    )
    run.run(config, Lines(asked.log_level, asked.log_format))
    return 0
