"""What on this machine could keep forwards from working, found before they are tried."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mooring.forward import doctor
from mooring.forward.address import parse
from mooring.forward.config import Host
from mooring.forward.doctor import Check, Verdict
from tests.parts import need


@pytest.fixture(autouse=True)
def nobody_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("ssh")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def key(path: Path, passphrase: str = "") -> Path:
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    return path


def checks(host: Host, state: Path, **environ: str) -> dict[str, Check]:
    return {check.name: check for check in doctor.of_host(host, state, environ)}


def known(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "known"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_a_host_that_is_known_and_has_a_key_is_fine(tmp_path: Path) -> None:
    mine = key(tmp_path / "id")
    public = " ".join((tmp_path / "id.pub").read_text().split()[:2])
    host = Host(
        parse("ssh://deploy@127.0.0.1:2222"),
        identity=mine,
        known_hosts=known(tmp_path, f"[127.0.0.1]:2222 {public}"),
    )
    found = checks(host, tmp_path)
    assert found["ssh configuration"].detail == "deploy@127.0.0.1, port 2222"
    assert found["name"].detail == "127.0.0.1, an address"
    assert found["host key"].detail == f"[127.0.0.1]:2222 is in {tmp_path}/known"
    assert {c.name for c in found.values() if c.verdict is Verdict.WRONG} == set()


def test_a_host_key_that_is_not_known_says_how_to_accept_it(tmp_path: Path) -> None:
    host = Host(
        parse("ssh://deploy@127.0.0.1:2222"),
        identity=key(tmp_path / "id"),
        known_hosts=known(tmp_path),
    )
    check = checks(host, tmp_path)["host key"]
    assert check.verdict is Verdict.WRONG
    assert check.remedy == (
        f"log in by hand once: ssh -o UserKnownHostsFile={tmp_path}/known -i {tmp_path}/id "
        "-p 2222 deploy@127.0.0.1 true"
    )


def test_a_key_with_a_passphrase_belongs_into_an_agent(tmp_path: Path) -> None:
    host = Host(parse("ssh://127.0.0.1"), identity=key(tmp_path / "id", "secret"))
    check = checks(host, tmp_path)["key id"]
    assert check.verdict is Verdict.WRONG
    assert check.remedy == f"ssh-add {tmp_path}/id"


def test_a_key_that_others_can_read_is_wrong(tmp_path: Path) -> None:
    mine = key(tmp_path / "id")
    mine.chmod(0o640)
    check = checks(Host(parse("ssh://127.0.0.1"), identity=mine), tmp_path)["key id"]
    assert check.remedy == f"chmod 600 {mine}"


def test_no_key_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    check = checks(Host(parse("ssh://deploy@127.0.0.1:2222")), tmp_path)["key"]
    assert check.verdict is Verdict.WRONG
    assert "ssh-keygen; ssh-copy-id -p 2222 deploy@127.0.0.1" in check.remedy


def test_an_agent_that_is_named_and_not_there_is_wrong(tmp_path: Path) -> None:
    host = Host(parse("ssh://127.0.0.1"), identity=key(tmp_path / "id"))
    found = checks(host, tmp_path, SSH_AUTH_SOCK=str(tmp_path / "nobody"))
    assert found["SSH agent"].verdict is Verdict.WRONG
    assert checks(host, tmp_path)["SSH agent"].verdict is Verdict.CARE


def test_an_address_for_all_to_reach_is_to_be_taken_care_of(tmp_path: Path) -> None:
    assert doctor._bind(Host(parse("ssh://x"), bind="0.0.0.0")).verdict is Verdict.CARE
    assert doctor._bind(Host(parse("ssh://x"), bind="192.0.2.1")).verdict is Verdict.WRONG
    assert doctor._bind(Host(parse("ssh://x"))).verdict is Verdict.FINE


def test_a_state_folder_that_is_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = {c.name: c for c in doctor.machine(tmp_path / "file" / "forward", os.environ)}
    assert found["state folder"].verdict is Verdict.WRONG
    assert "--state-dir" in found["state folder"].remedy


def test_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for limits, verdict in (
        ((256, 256), Verdict.WRONG),
        ((1024, 4096), Verdict.FINE),
        ((1024, 2048), Verdict.CARE),
        ((1_000_000, 1_000_000), Verdict.FINE),
    ):
        monkeypatch.setattr(doctor.resource, "getrlimit", lambda which, said=limits: said)
        assert doctor._files().verdict is verdict, limits
