"""Who this machine is: an identity that outlives reboots, its name, its system. Keeps nothing.

The identity says nothing about the machine: it is derived one way from an id that the system
keeps secret, as machine-id(5) demands of what leaves a machine.
"""

from __future__ import annotations

import hashlib
import hmac
import platform
import re
import socket
import subprocess
import sys
import uuid
from pathlib import Path

from mooring.model.machine import OperatingSystem

APPLICATION = uuid.UUID("873dfe77-3c37-4082-a9ea-68a2a1d68574")
"""Mooring's own constant: another application derives another identity from the same machine."""

MOST_HOSTNAME = 253
"""Characters of a hostname that are kept (RFC 1035)."""

MOST_NAME = 200
"""Characters of an operating system's, kernel's or architecture's name that are kept."""

_MACHINE_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")
_DMI_UUID = "sys/class/dmi/id/product_uuid"
_CONTAINER_SIGNS = (".dockerenv", "run/.containerenv")

_PLACEHOLDERS = frozenset(
    {
        "03000200040005000006000700080009",
        "12345678123456781234567812345678",
        "00020003000400050006000700080009",
    }
)
"""UUIDs that makers of mainboards left as they were, on many machines alike."""


def machine_identity(root: Path = Path("/")) -> str | None:
    """32 hexadecimal digits, or None where the system has no id that is surely its own.

    Linux: /etc/machine-id, D-Bus's copy, then the DMI product UUID (readable by root only).
    In a container of Docker's or Podman's kind the first two come from the image, which others
    share, and the third is the host's: there only a machine-id that was mounted in counts, by
    which the agent speaks for the host. macOS: IOPlatformUUID. Windows: MachineGuid.
    ``root`` is where the file system begins.
    """
    own = _system_id(root)
    return None if own is None else derived(own)


def derived(own: bytes) -> str:
    """The identity from a system's own 16 bytes; what sd_id128_get_machine_app_specific(3) does.

    ``systemd-id128 machine-id --app-specific=…`` with ``APPLICATION`` gives the same.
    """
    digest = bytearray(hmac.new(own, APPLICATION.bytes, hashlib.sha256).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def parsed_id(text: str) -> bytes | None:
    """The 16 bytes of an id in hexadecimal, with dashes or without; None for a placeholder."""
    digits = text.strip().replace("-", "").lower()
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        return None
    if len(set(digits)) == 1 or digits in _PLACEHOLDERS:
        return None
    return bytes.fromhex(digits)


def hostname() -> str:
    """The machine's name without control characters, at most 253 characters; never empty."""
    return _clean(socket.gethostname(), MOST_HOSTNAME) or "localhost"


def operating_system() -> OperatingSystem:
    """The system's name for a person, its kernel and its architecture."""
    uname = platform.uname()
    return OperatingSystem(
        name=_clean(_system_name(), MOST_NAME) or uname.system,
        kernel=_clean(f"{uname.system} {uname.release}", MOST_NAME),
        architecture=_clean(uname.machine, MOST_NAME),
    )


def _system_name() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if sys.platform == "win32":
        return f"Windows {platform.win32_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        # Small images have no os-release: the kernel is all that is known.
        return platform.system()


def _system_id(root: Path) -> bytes | None:
    if sys.platform == "darwin":
        return parsed_platform_uuid(_ioreg())
    if sys.platform == "win32":
        return parsed_id(_machine_guid())
    in_container = any((root / sign).exists() for sign in _CONTAINER_SIGNS)
    for name in _MACHINE_IDS:
        path = root / name
        if in_container and not _is_mounted(path):
            continue
        own = parsed_id(_read(path))
        if own is not None:
            return own
    return None if in_container else parsed_id(_read(root / _DMI_UUID))


def _read(path: Path) -> str:
    """A small file's text; empty where it is missing or not ours to read, which is an answer."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(64)
    except OSError:
        return ""


def _is_mounted(path: Path) -> bool:
    """Whether a file comes from another file system than its folder."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except OSError:
        return False


def parsed_platform_uuid(listing: str) -> bytes | None:
    """The IOPlatformUUID in what ``ioreg -rd1 -c IOPlatformExpertDevice`` prints."""
    match = re.search(r'"IOPlatformUUID"\s*=\s*"([0-9A-Fa-f-]{36})"', listing)
    return parsed_id(match[1]) if match else None


def _ioreg() -> str:
    command = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


if sys.platform == "win32":

    def _machine_guid() -> str:
        import winreg

        try:
            with winreg.OpenKey(
                winreg.HKEY_LOCAL_MACHINE,
                r"SOFTWARE\Microsoft\Cryptography",
                0,
                winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
            ) as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        except OSError:
            return ""


def _clean(text: str, most: int) -> str:
    """A name from the system as text that can be shown and stored: printable, bounded."""
    sound = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(char for char in sound if char.isprintable()).strip()[:most]
