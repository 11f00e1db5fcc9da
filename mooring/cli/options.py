"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

DataDir = Annotated[
    Path | None,
    Parameter(
        env_var="MOORING_DATA_DIR",
        help="The folder that everything is kept in [default: ~/.local/share/mooring].",
    ),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    Parameter(env_var="MOORING_LOG_LEVEL", help="The least level that is logged."),
]
LogFormat = Annotated[
    Literal["text", "json"],
    Parameter(env_var="MOORING_LOG_FORMAT", help="How the log on standard error is written."),
]
Host = Annotated[str, Parameter(help="The address to listen on; 0.0.0.0 for every one.")]
Port = Annotated[
    int,
    Parameter(validator=validators.Number(gte=0, lte=65535), help="The port; 0 for any free one."),
]
Every = Annotated[
    float,
    Parameter(validator=validators.Number(gt=0), help="Seconds between two looks at this machine."),
]
Format = Annotated[Literal["table", "json"], Parameter(help="How to print.")]
