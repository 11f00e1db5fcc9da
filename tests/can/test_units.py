"""What systemd is given to serve the driver, and what `mooring can install` says before it does."""

from __future__ import annotations

import configparser
import os

import pytest

from mooring.can import units
from mooring.cli import can


def unit(text: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(text)
    return read


def test_the_socket_is_there_before_docker_and_the_service_goes_after_it() -> None:
    assert unit(units.socket_unit())["Unit"]["Before"] == "docker.service"
    service = unit(units.service_unit(["/usr/bin/mooring", "can", "serve"], {}))
    assert service["Unit"]["Before"] == "docker.service"
    assert service["Unit"]["Requires"] == units.SOCKET


def test_the_service_runs_the_words_that_were_given_whatever_is_in_them() -> None:
    text = units.service_unit(["/opt/a b/py$1", "50%"], {"PYTHONPATH": "/x y:/z"})
    service = unit(text)["Service"]
    assert service["ExecStart"] == '"/opt/a b/py$$1" 50%%'
    assert service["Environment"] == '"PYTHONPATH=/x y:/z"'
    with pytest.raises(ValueError, match="line break"):
        units.service_unit(["/bin/x\ny"], {})


def test_a_dry_run_of_install_shows_every_file_and_command_and_does_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        can.main(["install", "--dry-run", "--strict-ipam"])
    assert not ended.value.code
    said = capsys.readouterr().out
    for part in (
        "# /etc/systemd/system/mooring-can.socket",
        "# /etc/systemd/system/mooring-can.service",
        "# /etc/modules-load.d/mooring-can.conf",
        "-m mooring can serve --log-level info --strict-ipam",
        "# modprobe --all vcan vxcan can-gw",
        "# systemctl daemon-reload",
    ):
        assert part in said


def test_who_is_not_root_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for command in ("install", "uninstall"):
        with pytest.raises(SystemExit) as ended:
            can.main([command])
        assert ended.value.code == 1
        assert "it needs root" in capsys.readouterr().err
