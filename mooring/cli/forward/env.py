"""``mooring forward env``: what makes docker, compose and Testcontainers here use the remote."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Literal

from cyclopts import Parameter

from mooring.cli.forward.options import HostName, StateDir, state_folder
from mooring.core.errors import UsageError
from mooring.forward import control


def env(
    host: HostName = None,
    *,
    format: Annotated[  # noqa: A002
        Literal["sh", "fish", "powershell", "plain", "json"],
        Parameter(help="For which shell; plain is NAME=VALUE lines, as in an env file."),
    ] = "sh",
    state_dir: StateDir = None,
) -> None:
    """Print DOCKER_HOST for a shell: eval "$(mooring forward env)".

    It names a local socket through which the remote Docker is reached, so that docker, compose
    and Testcontainers work as if it were here. Where the remote's own socket is known, it is told
    to Testcontainers too, whose helper mounts it.
    """
    found = control.ask(state_folder(state_dir), "docker", host=host)
    if len(found) > 1:
        raise UsageError(
            "telling Docker's address", "several hosts are forwarded", f"one of: {', '.join(found)}"
        )
    for docker in found.values():
        variables = {"DOCKER_HOST": docker["local"]}
        if docker["remote"]:
            variables["TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE"] = docker["remote"]
        if format == "json":
            print(json.dumps(variables))
            return
        for name, value in variables.items():
            print(_line(format, name, value))


def _line(shell: str, name: str, value: str) -> str:
    if shell == "fish":
        return f"set -gx {name} {shlex.quote(value)};"
    if shell == "powershell":
        quoted = value.replace("'", "''")
        return f"$Env:{name} = '{quoted}'"
    return f"{name}={value}" if shell == "plain" else f"export {name}={shlex.quote(value)}"
