"""What systemd is given to serve the driver, and what `mooring can install` says before it does."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mooring.can import kernel, units
from mooring.cli import can
from mooring.cli.can import install


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


def test_a_service_that_reports_has_its_key_in_a_file_and_may_reach_the_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOORING_KEY", "secret")
    server = ["--dry-run", "--server", "http://map.example:8930"]
    with pytest.raises(SystemExit) as ended:
        can.main(["install", *server])
    assert ended.value.code == 2
    assert "--key-file" in capsys.readouterr().err
    key = tmp_path / "key"
    key.write_text("secret\n")
    with pytest.raises(SystemExit) as ended:
        can.main(["install", *server, "--key-file", str(key)])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert f"--server=http://map.example:8930 --key-file={key}" in said
    assert "AF_INET6" in said
    assert "secret" not in said


def test_without_the_kernel_s_modules_nothing_is_installed_and_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "modprobe"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'FATAL: Module vxcan not found.' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="6.8.0-1009-aws"))
    monkeypatch.setattr(kernel, "_MODULES", tmp_path)
    monkeypatch.setattr(install, "_RUNNING", tmp_path)
    etc = tmp_path / "etc"
    monkeypatch.setattr(install, "_UNITS", etc)
    monkeypatch.setattr(install, "_MODULES", etc / "mooring-can.conf")
    with pytest.raises(SystemExit) as ended:
        can.main(["install"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "loading the kernel's modules vcan, vxcan, can-gw" in said
    assert "Module vxcan not found" in said
    assert "linux-modules-extra-6.8.0-1009-aws" in said
    assert not etc.exists()


def test_without_systemd_it_says_what_to_do_by_hand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install, "_RUNNING", tmp_path / "none")
    with pytest.raises(SystemExit) as ended:
        can.main(["install"])
    assert ended.value.code == 1
    assert "not run by systemd" in capsys.readouterr().err


def test_who_is_not_root_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for command in ("install", "uninstall"):
        with pytest.raises(SystemExit) as ended:
            can.main([command])
        assert ended.value.code == 1
        assert "it needs root" in capsys.readouterr().err
