"""``mooring can install`` and ``uninstall``: the driver as a service of this machine's systemd."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mooring.can import units
from mooring.cli.can import places
from mooring.core.errors import MooringError, UsageError, why_os
from mooring.core.lines import LEVELS

_UNITS = Path("/etc/systemd/system")
_MODULES = Path("/etc/modules-load.d/mooring-can.conf")
_RUNNING = Path("/run/systemd/system")
"""There where systemd is what runs (sd_booted(3))."""
_TAKEN_ALONG = ("PYTHONPATH",)
_ANSWERS = 30.0
"""Seconds in which a driver that was started answers, on a machine that is slow and busy."""
_BOTH = (units.SOCKET, units.SERVICE)


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "install",
        help="serve now and at every boot, by systemd",
        description="Write a socket, a service and a list of kernel modules for systemd, and start "
        "them: now and before Docker at every boot. What is there already is replaced.",
    )
    parser.add_argument(
        "--strict-ipam", action="store_true",
        help="refuse networks that were not created with --ipam-driver null",
    )  # fmt: skip
    places.add_server(parser)
    parser.add_argument("--log-level", choices=list(LEVELS), default="info", help="(%(default)s)")
    _add_dry_run(parser)
    parser.set_defaults(run=install)

    parser = commands.add_parser(
        "uninstall",
        help="take the service away again",
        description="Stop the service and remove its files. Containers keep their buses until they "
        "are stopped; what is known of networks stays in /var/lib/mooring/can.",
    )
    _add_dry_run(parser)
    parser.set_defaults(run=uninstall)


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="only print what would be written and run"
    )


def install(asked: argparse.Namespace) -> int:
    files = {
        _MODULES: units.modules_file(),
        _UNITS / units.SOCKET: units.socket_unit(),
        _UNITS / units.SERVICE: _service(asked),
    }
    # Both are started anew, so that it is the files and the program of this call which run.
    commands = (
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", *_BOTH),
        ("systemctl", "stop", units.SERVICE),
        ("systemctl", "restart", units.SOCKET),
        ("systemctl", "start", units.SERVICE),
    )
    if asked.dry_run:
        for file, text in files.items():
            print(f"# {file}\n{text}")
        for command in (_load(), *commands):
            print(f"# {_shown(command)}")
        return 0
    by_hand = f"load {', '.join(units.MODULES)} and start `mooring can serve` before Docker"
    _check("installing the service", f"have your init {by_hand}")
    _load_modules()
    for file, text in files.items():
        print(f"wrote {file}" if _written(file, text) else f"{file} is as it shall be")
    for command in commands:
        _do(command)
    _check_that_it_answers()
    print("look at it: mooring can health; journalctl -u mooring-can -f")
    return 0


def uninstall(asked: argparse.Namespace) -> int:
    # The socket goes first, or a call would start the service again.
    stop = ("systemctl", "disable", "--now", *_BOTH)
    reload = ("systemctl", "daemon-reload")
    files = (_UNITS / units.SERVICE, _UNITS / units.SOCKET, _MODULES)
    if asked.dry_run:
        for line in (_shown(stop), *(f"rm {file}" for file in files), _shown(reload)):
            print(f"# {line}")
        return 0
    _check("removing the service", "nothing to do")
    if not any(file.exists() for file in files):
        raise UsageError("removing the service", f"there is no {files[0]}", "nothing to do")
    failed = None
    try:
        _do(stop)
    except MooringError as error:
        # The files go in any case: it must not start again at the next boot.
        failed = error
    for file in files:
        try:
            file.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MooringError(f"removing {file}", why_os(error)) from error
        print(f"removed {file}")
    _do(reload)
    if failed:
        raise failed
    return 0


def _service(asked: argparse.Namespace) -> str:
    command = [sys.executable, "-m", "mooring", "can", "serve", "--log-level", asked.log_level]
    if asked.strict_ipam:
        command.append("--strict-ipam")
    if asked.server:
        command += [f"--server={asked.server}", f"--key-file={_key_file(asked)}"]
    environment = {name: os.environ[name] for name in _TAKEN_ALONG if os.environ.get(name)}
    try:
        return units.service_unit(command, environment, reports=bool(asked.server))
    except ValueError as error:
        raise UsageError("writing the service's file", str(error)) from None


def _key_file(asked: argparse.Namespace) -> Path:
    """Where the service finds its key; a unit is no place for one, for everybody may read it."""
    file: Path | None = asked.key_file
    if file is None or not file.is_file():
        raise UsageError(
            f"reporting to {asked.server}",
            f"there is no file {file}" if file else "the service needs a file that holds its key",
            "write an agent's key into one that root alone may read, and name it with --key-file",
        )
    return file.absolute()


def _check(attempted: str, without: str) -> None:
    """``without`` is what to do where there is no systemd."""
    if os.geteuid() != 0:
        raise MooringError(attempted, "it needs root", "run it with sudo")
    if not _RUNNING.is_dir():
        raise MooringError(attempted, "this machine is not run by systemd", without)


def _load() -> tuple[str, ...]:
    return ("modprobe", "--all", *units.MODULES)


def _load_modules() -> None:
    """Have the modules now too; without them nothing is installed.

    Raises:
        MooringError: they are not there; what to do depends on whose kernel it is.
    """
    from mooring.can import kernel

    try:
        _do(_load())
    except MooringError as error:
        present = kernel.modules()
        missing = [name for name in units.MODULES if not present[name]]
        if missing:
            raise MooringError(
                f"loading the kernel's modules {', '.join(missing)}", error.why, kernel.no_can()
            ) from error


def _check_that_it_answers() -> None:
    from mooring.can import ask, run

    try:
        ask.ask(run.SOCKET, "Plugin.Activate", seconds=_ANSWERS)
    except ask.NotServing as error:
        raise MooringError(
            "starting the service", error.why, f"see `journalctl -u {units.SERVICE}`"
        ) from error


def _written(file: Path, text: str) -> bool:
    """Whether the file had to be written."""
    try:
        if file.exists() and file.read_text(errors="replace") == text:
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o644)
        os.replace(new, file)
    except OSError as error:
        raise MooringError(f"writing {file}", why_os(error), "see --dry-run") from error
    return True


def _shown(command: Sequence[str]) -> str:
    import shlex

    return shlex.join(command)


def _do(command: Sequence[str]) -> None:
    # Here, for this module is also loaded when the driver is to start at once.
    import subprocess

    shown = _shown(command)
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MooringError(f"running {shown}", why_os(error)) from error
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines()[-1:] or [f"status {ran.returncode}"]
        raise MooringError(f"running {shown}", said[0], "see what it says when you run it yourself")
    print(f"ran {shown}")
