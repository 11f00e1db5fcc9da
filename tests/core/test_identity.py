from __future__ import annotations

import hashlib
import hmac
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core import identity
from mooring.core.identity import APPLICATION, derived, machine_identity, parsed_id

ID = "3d1219c7c4c5404aaa1f6d2a48adfda5"
OTHER = "0123456789abcdef0123456789abcde0"

linux = pytest.mark.skipif(sys.platform != "linux", reason="the files are Linux's")


def put(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@linux
def test_the_identity_is_the_same_at_every_look_and_does_not_hold_the_machine_id(
    tmp_path: Path,
) -> None:
    put(tmp_path, "etc/machine-id", ID + "\n")
    found = machine_identity(tmp_path)
    assert found == machine_identity(tmp_path)
    assert found is not None
    assert len(bytes.fromhex(found)) == 16
    assert ID not in found


@linux
def test_another_machine_has_another_identity(tmp_path: Path) -> None:
    put(tmp_path / "a", "etc/machine-id", ID)
    put(tmp_path / "b", "etc/machine-id", OTHER)
    assert machine_identity(tmp_path / "a") != machine_identity(tmp_path / "b")


@linux
def test_dbus_copy_then_the_mainboard_stand_in_for_the_machine_id(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/dmi/id/product_uuid", "4C4C4544-0042-4A10-8057-B4C04F563232\n")
    from_board = machine_identity(tmp_path)
    assert from_board == derived(bytes.fromhex("4c4c454400424a108057b4c04f563232"))
    put(tmp_path, "etc/machine-id", "uninitialized\n")
    assert machine_identity(tmp_path) == from_board
    put(tmp_path, "var/lib/dbus/machine-id", ID)
    assert machine_identity(tmp_path) == derived(bytes.fromhex(ID))


@linux
@pytest.mark.parametrize("sign", [".dockerenv", "run/.containerenv"])
def test_in_a_container_neither_the_images_id_nor_the_hosts_board_counts(
    tmp_path: Path, sign: str
) -> None:
    put(tmp_path, "etc/machine-id", ID)
    put(tmp_path, "sys/class/dmi/id/product_uuid", "4C4C4544-0042-4A10-8057-B4C04F563232\n")
    put(tmp_path, sign)
    assert machine_identity(tmp_path) is None


@linux
def test_in_a_container_a_machine_id_that_was_mounted_in_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "etc/machine-id", ID)
    put(tmp_path, ".dockerenv")
    real = Path.stat

    def stat(path: Path, **kwargs: bool) -> os.stat_result:
        found = list(real(path, **kwargs))
        if path.name == "machine-id":
            found[2] += 1
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", stat)
    assert machine_identity(tmp_path) == derived(bytes.fromhex(ID))


@linux
def test_a_machine_without_an_id_has_no_identity(tmp_path: Path) -> None:
    assert machine_identity(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uninitialized",
        "0" * 32,
        "F" * 32,
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "not an id",
        ID[:-1],
        ID + "0",
        "To be filled by O.E.M.",
    ],
)
def test_a_placeholder_is_no_id(text: str) -> None:
    assert parsed_id(text) is None


@given(st.text(max_size=50))
def test_any_text_is_an_id_of_16_bytes_or_none(text: str) -> None:
    found = parsed_id(text)
    assert found is None or len(found) == 16


@pytest.mark.real
def test_systemd_derives_the_same(tmp_path: Path) -> None:
    tool = shutil.which("systemd-id128")
    machine_id = Path("/etc/machine-id")
    if tool is None or not machine_id.exists() or parsed_id(machine_id.read_text()) is None:
        pytest.skip("needs systemd-id128 and a machine-id")
    command = [tool, "machine-id", f"--app-specific={APPLICATION.hex}"]
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    own = parsed_id(machine_id.read_text())
    assert own is not None
    assert derived(own) == expected


def test_the_derivation_is_an_hmac_keyed_by_the_machines_id() -> None:
    own = bytes.fromhex(ID)
    digest = hmac.new(own, APPLICATION.bytes, hashlib.sha256).hexdigest()
    # All but the six bits by which a UUID of version 4 is marked.
    assert derived(own)[:12] == digest[:12]
    assert derived(own)[17:] == digest[17:32]
    assert derived(own)[12] == "4"


def test_macos_platform_uuid_is_read_from_the_listing() -> None:
    listing = """+-o J313AP  <class IOPlatformExpertDevice, id 0x100000219>
    {
      "IOPlatformSerialNumber" = "C02XXXXXXXXX"
      "IOPlatformUUID" = "3D1219C7-C4C5-404A-AA1F-6D2A48ADFDA5"
    }
"""
    assert identity.parsed_platform_uuid(listing) == bytes.fromhex(ID)
    assert identity.parsed_platform_uuid("nothing of the kind") is None


def test_the_hostname_is_this_machines() -> None:
    assert identity.hostname() == socket.gethostname()


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("x" * 10_000, "x" * 253),
        ("", "localhost"),
        ("\x1b[31mred\n", "[31mred"),
        ("a\udcffb", "a\\udcffb"),
    ],
)
def test_an_odd_hostname_is_made_fit_to_be_shown(
    monkeypatch: pytest.MonkeyPatch, told: str, kept: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: told)
    assert identity.hostname() == kept


def test_the_system_is_named_for_a_person() -> None:
    found = identity.operating_system()
    assert found.kernel == f"{platform.system()} {platform.release()}"
    assert found.architecture == platform.machine()
    assert found.name


def test_a_system_without_os_release_is_named_by_its_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> dict[str, str]:
        raise OSError("no os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert identity.operating_system().name == platform.system()
