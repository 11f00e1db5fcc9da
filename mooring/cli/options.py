"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import structlog
from cyclopts import Parameter, validators

from mooring.core.errors import UsageError, why_os
from mooring.core.places import open_to_others
from mooring.core.url import agent_key

log = structlog.get_logger(__name__)

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
Key = Annotated[
    str | None,
    Parameter(
        env_var="MOORING_KEY", help="An agent's key, of `mooring keys create --agent` there."
    ),
]
KeyFile = Annotated[Path | None, Parameter(help="A file that holds the key and nothing else.")]

MAX_KEY = 1000


def key_of(server: str, key: str | None, file: Path | None) -> str:
    """The key to report to a server with: the file's, else the one given. Raises ``UsageError``.

    Says so in the log if others may read the file: then it is no secret.
    """
    if file is not None:
        file = file.expanduser()
        try:
            with file.open() as opened:
                secret = opened.read(MAX_KEY)
            shared = open_to_others(file)
        except (OSError, UnicodeDecodeError) as error:
            why = why_os(error) if isinstance(error, OSError) else "it is not a text"
            remedy = "name a file that holds an agent's key"
            raise UsageError(f"reading the key file {file}", why, remedy) from None
        if shared:
            log.warning("key_file_open_to_others", path=str(file), remedy=f"chmod 600 {file}")
        return agent_key(secret)
    if not key:
        raise UsageError(
            f"reporting to {server}",
            "there is no key",
            "make one on the server's machine with `mooring keys create --agent`, and give it in "
            "the environment (MOORING_KEY), with --key-file FILE, or with --key",
        )
    return agent_key(key)
