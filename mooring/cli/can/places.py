"""What several commands ask for: where the driver keeps its journal, and where it is reached."""

from __future__ import annotations

import argparse
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


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["table", "json"], default="table")
