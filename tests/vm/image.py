"""The machine's disk: a Debian with systemd, Docker and CAN, made once and kept.

A recipe in, ``Image`` out. Made in about two minutes and kept under the user's cache folder by the
recipe's hash; what no recipe names any more is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts import need

TOP = Path(__file__).parents[2]
PLUGIN = TOP / "packaging" / "plugin" / "build"
SUITE = "bookworm"
PYTHON = "3.11"
"""That suite's."""
PACKAGES = (
    "systemd", "systemd-sysv", "udev", "dbus", "kmod", "iproute2", "can-utils", "docker.io",
    "docker-compose", "iptables", "python3", "linux-image-amd64", "busybox-static",
    "ca-certificates",
)  # fmt: skip
UNUSED = (
    *(f"lib/modules/*/kernel/{part}" for part in ("sound", "drivers/gpu", "drivers/media")),
    *(f"lib/modules/*/kernel/drivers/{part}" for part in ("infiniband", "staging", "iio", "scsi")),
    *(f"lib/modules/*/kernel/drivers/net/{part}" for part in ("ethernet", "wireless")),
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/lib/udev/hwdb.d",
    "usr/lib/python3/dist-packages/pip", "var/cache/apt", "var/lib/apt/lists",
)  # fmt: skip
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "dpkg-db-backup.timer", "getty@tty1.service", "serial-getty@ttyS0.service",
    "systemd-pstore.service", "systemd-networkd.service",
)  # fmt: skip

_SERVICE = """\
[Unit]
Description=Runs what the tests ask
DefaultDependencies=no

[Service]
Type=exec
ExecStart=/usr/bin/python3 /usr/local/lib/lab/door.py
Restart=always

[Install]
WantedBy=sysinit.target
"""
_PROGRAM = """\
#!/bin/sh
PYTHONPATH=/opt/mooring:/opt/libraries exec /usr/bin/python3 -m mooring "$@"
"""
# Busybox, the tools of can-utils and the C library that they need: what containers run.
_TOOLS = """\
mkdir -p "$1/bin" "$1/lib64" "$1/lib/x86_64-linux-gnu" "$1/tmp"
cp /bin/busybox "$1/bin/"
for tool in sh sleep cat ls ip kill timeout; do ln -s busybox "$1/bin/$tool"; done
cp /usr/bin/candump /usr/bin/cansend /usr/bin/cangen "$1/bin/"
cp /lib/x86_64-linux-gnu/libc.so.6 "$1/lib/x86_64-linux-gnu/"
cp /lib64/ld-linux-x86-64.so.2 "$1/lib64/"
tar -C "$1" -cf /var/lib/lab-tools.tar .
"""


@dataclass(frozen=True, slots=True)
class Image:
    """What a machine is booted from; read only."""

    kernel: Path
    initrd: Path
    disk: Path
    """qcow2, the whole system."""


def image() -> Image:
    """The image of this recipe: made if it is not there."""
    need("vm")
    recipe = hashlib.sha256()
    for part in (Path(__file__), Path(__file__).with_name("door.py"), _requirements(), PLUGIN):
        recipe.update(part.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mooring-vm"
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / recipe.hexdigest()[:16]
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            for old in cache.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            with temporary(cache) as folder:
                _make(folder)
                os.replace(folder / "made", made)
    return Image(made / "vmlinuz", made / "initrd", made / "disk.qcow2")


def _requirements() -> Path:
    return TOP / "requirements" / "run.txt"


@contextmanager
def temporary(above: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="making-", dir=above))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _make(folder: Path) -> None:
    print("making the virtual machine's disk: about two minutes, once", file=sys.stderr)
    tree, made = folder / "tree", folder / "made"
    made.mkdir()
    _run(
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        "--aptopt=APT::Install-Recommends false", "--format=directory", "--skip=output/dev",
        SUITE, str(tree), *_sources(),
    )  # fmt: skip
    for pattern in UNUSED:
        for unused in tree.glob(pattern):
            shutil.rmtree(unused)
    _run(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={PYTHON}",
        f"--target={tree}/opt/libraries", f"--requirement={_requirements()}",
    )  # fmt: skip
    # The managed plugin's Debian; our modules are added to it in the machine.
    _run(str(PLUGIN), "root", f"{tree}/var/lib/lab-plugin", *_sources())
    _furnish(tree)
    kernel = next((tree / "lib/modules").iterdir()).name
    _run("chroot", str(tree), "depmod", kernel)
    _run("chroot", str(tree), "update-initramfs", "-c", "-k", kernel)
    shutil.copy(tree / f"boot/vmlinuz-{kernel}", made / "vmlinuz")
    shutil.copy(tree / f"boot/initrd.img-{kernel}", made / "initrd")
    raw = disk(tree, folder / "disk.img", "4G")
    _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(made / "disk.qcow2"))


def _furnish(tree: Path) -> None:
    """What makes a Debian into our machine."""

    def write(path: str, text: str, mode: int = 0o644) -> None:
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    (tree / "opt/mooring").mkdir()
    write("etc/hostname", "lab\n")
    write("etc/fstab", "/dev/vda / ext4 rw,noatime 0 1\n/dev/vdb /opt/mooring ext4 ro 0 0\n")
    write("etc/modules-load.d/can.conf", "vcan\nvxcan\ncan-gw\ncan-raw\n")
    # The initial RAM disk needs to find the disk, and nothing else.
    write("etc/initramfs-tools/conf.d/lab", "MODULES=list\nCOMPRESS=gzip\n")
    write("etc/initramfs-tools/modules", "virtio_pci\nvirtio_blk\next4\n")
    write("etc/systemd/system/lab.service", _SERVICE)
    write("usr/local/bin/mooring", _PROGRAM, 0o755)
    write("usr/local/lib/lab/door.py", Path(__file__).with_name("door.py").read_text())
    _run("chroot", str(tree), "systemctl", "enable", "lab.service")
    _run("chroot", str(tree), "systemctl", "mask", *MASKED)
    _run("chroot", str(tree), "sh", "-ec", _TOOLS, "sh", "/tmp/tools")
    shutil.rmtree(tree / "tmp/tools")


def disk(tree: Path, file: Path, size: str) -> Path:
    """An ext4 file system with what is in ``tree``."""
    file.unlink(missing_ok=True)
    with file.open("wb"):
        pass
    _run("mkfs.ext4", "-q", "-d", str(tree), str(file), size)
    return file


def _sources() -> list[str]:
    """Where this machine's own packages come from, when it is a Debian of that suite."""
    found = Path("/etc/apt/sources.list.d/debian.sources")
    if found.exists() and f"Suites: {SUITE}" in found.read_text():
        return [str(found)]
    return []


def _run(*command: str) -> None:
    ran = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )  # fmt: skip
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {(ran.stderr or ran.stdout)[-2000:]}")


if __name__ == "__main__":
    print(image().disk)
