"""A remote host in a namespace of its own: what its sshd allows in, an address to log in at out.

``with remote_host("AllowTcpForwarding no") as host, entered(host.client): …``. It is reached over
a veth from a client's namespace and from nowhere else; with ``engine=`` it is a remote Docker
host. It has its own host key, users, home folders and /run. Needs root and sshd; up in 0.2 s.
Everything that runs on it, and its namespaces, are gone at the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.lab.engine import Dockerd
from tests.lab.netns import PREFIX, Namespace, _check, _libc, namespace
from tests.parts import need

NAME = "dockerhost.example"
"""What the remote host calls itself, and its name in the client's known hosts."""
USERS = {"root": 0, "deploy": 4242, "member": 4243}
"""``member`` is in the group docker (4244), ``deploy`` in none."""
DOCKER_GROUP = 4244

_CLONE_NEWNET = 0x40000000
_WRONG_MAC = "02:00:00:00:00:66"

# Its own /run (sshd needs /run/sshd; Docker's socket is looked for there) and its own users.
_START = """
mount --bind "$1/run" /run
for file in passwd group shadow; do mount --bind "$1/etc/$file" "/etc/$file"; done
exec "$2" -D -e -f "$1/sshd.conf"
"""


class RemoteHost:
    """A host with an sshd. Files for its client are beside it: ``key``, ``known_hosts``."""

    def __init__(self, ns: Namespace, client: Namespace, folder: Path, number: int) -> None:
        self.ns = ns
        self.client = client
        self.folder = folder
        self.ip = f"198.18.{number}.2"
        self.client_ip = f"198.18.{number}.1"
        self.port = 22
        self.run = folder / "run"
        """Its /run: a link ``docker.sock`` in it is its /var/run/docker.sock."""
        self.known_hosts = folder / "known_hosts"
        self.key = folder / "client"
        """A private key that all users accept."""
        self.config = folder / "ssh_config"
        """An ssh_config that knows nothing, so that the tester's own is not read."""
        self._link = f"moor{number}"
        self._listener: subprocess.Popen[bytes] | None = None
        self._rooms: set[int] = set()

    def url(self, user: str = "root") -> str:
        return f"ssh://{user}@{self.ip}:{self.port}"

    def home(self, user: str) -> Path:
        return self.folder / "home" / user

    # Its sshd

    def start(self, *lines: str, host_key: str = "host", port: int = 22) -> None:
        """Start the listening sshd, with further lines of sshd_config that win over ours.

        ``host_key`` names the key that it shows: another name is another key.
        """
        self.port = port
        key = self._make_key(host_key)
        ours = (
            f"Port {port}",
            f"HostKey {key}",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "UseDNS no",
            "StrictModes no",
            "LogLevel VERBOSE",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
        )
        # The first value of a keyword wins, so ours come last; but SetEnv, Match, … are theirs.
        general = [line for line in lines if not line.startswith((" ", "Match"))]
        matches = [line for line in lines if line.startswith((" ", "Match"))]
        text = "\n".join([*general, *ours, *matches])
        (self.folder / "sshd.conf").write_text(text + "\n")
        command = ["unshare", "--mount", "--propagation", "private", "--"]
        command += ["sh", "-ec", _START, "sh", str(self.folder), need("sshd")]
        with (self.folder / "log").open("ab") as log:
            self._listener = self.ns.popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        limit = time.monotonic() + 10
        while not self.client.call(self._accepts):
            if self._listener.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"sshd did not start: {self.log()[-2000:]}")
            time.sleep(0.005)
        self._rooms.add(_room(self._listener.pid))

    def _accepts(self) -> bool:
        """Whether the port is listened on; leaves sshd's log alone."""
        listening = self.ns.run(["ss", "-Hltn", f"sport = :{self.port}"]).stdout
        return bool(listening.strip())

    def stop(self) -> None:
        """End the listening sshd; sessions go on."""
        if self._listener is not None:
            self._listener.terminate()
            self._listener.wait(10)
            self._listener = None

    def restart(self, *lines: str, host_key: str = "host", port: int = 22) -> None:
        self.stop()
        self.start(*lines, host_key=host_key, port=port)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def logins(self) -> int:
        """How many times somebody has logged in since the host was made."""
        return self.log().count("Accepted publickey")

    # What happens to sessions

    def sessions(self) -> list[int]:
        """Processes of its sshd that serve a connection, without the programs that they run."""
        listener = self._listener.pid if self._listener else None
        return [
            pid for pid in self._processes() if pid != listener and _name(pid).startswith("sshd")
        ]

    def kill_sessions(self) -> int:
        """SIGKILL to every session, as if the network or the host had cut them; how many."""
        return self._signal(signal.SIGKILL)

    def freeze_sessions(self) -> int:
        """SIGSTOP: connections stay, nobody answers."""
        return self._signal(signal.SIGSTOP)

    def thaw_sessions(self) -> int:
        return self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> int:
        pids = self.sessions()
        for pid in pids:
            _kill(pid, what)
        return len(pids)

    def _processes(self) -> list[int]:
        """All that runs on the host because of its sshd, told by its own view of the files."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _room(int(entry.name)) in self._rooms
        ]

    def commands(self) -> dict[int, bytes]:
        """What runs there because of its sshd: command lines, their words ended by NULs."""
        found = {}
        for pid in self._processes():
            with suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
        return found

    def kill(self, pid: int) -> None:
        """SIGKILL to something that runs there; nothing if it has ended meanwhile."""
        if pid in self._processes():
            _kill(pid, signal.SIGKILL)

    # What happens to the network

    def drop(self) -> None:
        """A black hole both ways: what is sent goes to nobody, and nobody says so."""
        for ns, end, other in self._ends():
            ns.batch(f"neigh replace {other} lladdr {_WRONG_MAC} dev {end} nud permanent")

    def heal(self) -> None:
        """End ``drop`` and ``reject``."""
        for ns, end, other in self._ends():
            if ns.ip_json("neigh", "show", "to", other, "dev", end, "nud", "permanent"):
                ns.batch(f"neigh del {other} dev {end}")
        if shown := self._iptables("-S", "INPUT"):
            for rule in shown.splitlines():
                if "--reject-with tcp-reset" in rule:
                    self._iptables(*rule.replace("-A", "-D", 1).split())

    def reject(self) -> None:
        """Whatever comes for its sshd is answered by a reset, as by a firewall."""
        rule = f"-p tcp --dport {self.port} -j REJECT --reject-with tcp-reset"
        self._iptables("-I", "INPUT", *rule.split())

    def _iptables(self, *arguments: str) -> str:
        legacy = Path("/usr/sbin/iptables-legacy")
        program = str(legacy) if legacy.exists() else shutil.which("iptables")
        if program is None:
            return ""
        return self.ns.run([program, "-w", *arguments]).stdout

    def _ends(self) -> tuple[tuple[Namespace, str, str], ...]:
        return (
            (self.client, self._link, self.ip),
            (self.ns, "up0", self.client_ip),
        )

    # Making and ending it

    def make(self) -> None:
        """Its link, users and keys."""
        self.client.batch(
            f"link add {self._link} type veth peer name up0 netns {self.ns.name}",
            f"addr add {self.client_ip}/30 dev {self._link}",
            f"link set {self._link} up",
        )
        self.ns.batch(f"addr add {self.ip}/30 dev up0", "link set up0 up")
        self.folder.chmod(0o755)
        for name in ("etc", "home", "run", "run/sshd", "run/user"):
            (self.folder / name).mkdir()
        passwd, shadow = ["sshd:x:102:65534::/run/sshd:/usr/sbin/nologin"], ["sshd:!:1::::::"]
        for user, number in USERS.items():
            home = self.home(user)
            home.mkdir()
            os.chown(home, number, number)
            passwd.append(f"{user}:x:{number}:{number}::{home}:/bin/sh")
            shadow.append(f"{user}:*:1::::::")
        groups = [f"{user}:x:{number}:" for user, number in USERS.items()]
        groups += [f"docker:x:{DOCKER_GROUP}:member", "nogroup:x:65534:"]
        for name, file in (("passwd", passwd), ("shadow", shadow), ("group", groups)):
            (self.folder / "etc" / name).write_text("\n".join(file) + "\n")
        self._make_key("client")
        shutil.copy(self.folder / "client.pub", self.folder / "authorized_keys")
        self._make_key("host")
        self.config.touch()
        self.trust()

    def trust(self, host_key: str = "host") -> None:
        """Write the client's known hosts anew: this key, under its address and its name."""
        kind, data = (self.folder / f"{host_key}.pub").read_text().split()[:2]
        lines = [f"{name} {kind} {data}\n" for name in (self.ip, f"[{self.ip}]:2222", NAME)]
        self.known_hosts.write_text("".join(lines))

    def _make_key(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
            subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
        return path

    def end(self) -> None:
        """End all that its sshd has started, and take its link away."""
        self.stop()
        limit = time.monotonic() + 10
        while left := self._processes():
            if time.monotonic() > limit:
                raise RuntimeError(f"processes of {self.folder} did not end: {left}")
            for pid in left:
                _kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        if self.client.path.exists():
            self.client.batch(f"link del {self._link}")
        shutil.rmtree(self.folder)


@contextmanager
def remote_host(
    *lines: str,
    engine: Dockerd | None = None,
    client: Namespace | None = None,
    number: int = 0,
) -> Iterator[RemoteHost]:
    """A remote host whose sshd runs, with these lines in its sshd_config.

    With ``engine`` it is the host on which that engine runs and listens at /run/docker.sock. Give
    hosts that one client shall reach the same ``client``, and a ``number`` each (0 to 255).
    Skips the test where a part is missing.
    """
    need("netns")
    need("ssh")
    _sweep()
    with ExitStack() as stack:
        ns = engine.ns if engine else stack.enter_context(namespace())
        client = client or stack.enter_context(namespace())
        # Short: the path of a Unix socket has at most 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}r{os.getpid()}-", dir="/tmp"))
        host = RemoteHost(ns, client, folder, number)
        try:
            host.make()
            if engine:
                engine.folder.chmod(0o755)
                (host.run / "docker.sock").symlink_to(engine.socket)
            host.start(*lines)
            yield host
        finally:
            host.end()


@contextmanager
def entered(ns: Namespace) -> Iterator[None]:
    """The calling thread is inside meanwhile, with the threads and processes that it starts."""
    with Path("/proc/thread-self/ns/net").open() as before:
        with ns.path.open() as inside:
            _check(_libc.setns(inside.fileno(), _CLONE_NEWNET), f"entering {ns.name}")
        try:
            yield
        finally:
            _check(_libc.setns(before.fileno(), _CLONE_NEWNET), "going back")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, where the caller is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _room(pid: int) -> int:
    """The mount namespace of a process: each remote host has its own. 0 when it is gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino  # noqa: PTH116 (follows the magic link)
    except OSError:
        return 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _kill(pid: int, what: signal.Signals) -> None:
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return


def _sweep() -> None:
    """End what a killed run left: hosts whose folder is named by a process that is long gone."""
    for folder in Path("/tmp").glob(f"{PREFIX}r*-*"):
        owner = folder.name.removeprefix(f"{PREFIX}r").partition("-")[0]
        if not owner.isdigit() or Path("/proc", owner).exists():
            continue
        own = _room(os.getpid())
        rooms = {_room(pid) for pid in _listeners(folder)} - {0, own}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _room(int(entry.name)) in rooms:
                _kill(int(entry.name), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _listeners(folder: Path) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                shown = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"sshd" in shown and f"{folder}/".encode() in shown:
                yield int(entry.name)


@pytest.fixture
def remote() -> Iterator[RemoteHost]:
    """A remote host, for one test; the test itself is where its client is."""
    with remote_host() as host, entered(host.client):
        yield host
