"""What several commands ask for: where the driver keeps its journal, and where it is reached."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mooring.can import run


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state-dir", type=Path, default=run.STATE, metavar="FOLDER",
        help="where networks and endpoints are kept (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--socket", type=Path, default=run.SOCKET, metavar="PATH",
        help="where the driver serves (%(default)s)",
    )  # fmt: skip


def add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", default=os.environ.get("MOORING_SERVER"), metavar="URL",
        help="report to this server: http://HOST:8930 (MOORING_SERVER)",
    )  # fmt: skip
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE",
        help="a file that holds an agent's key and nothing else, instead of MOORING_KEY",
    )  # fmt: skip


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["table", "json"], default="table")
