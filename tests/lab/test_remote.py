from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.remote import USERS, RemoteHost, entered, remote, remote_host  # noqa: F401
from tests.parts import need

pytestmark = pytest.mark.real


def ssh(host: RemoteHost, command: str = "true", user: str = "root") -> tuple[int, str]:
    """Log in by hand, from where the test is."""
    done = subprocess.run(
        [
            *("ssh", "-F", str(host.config), "-i", str(host.key), "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={host.known_hosts}", "-o", "ConnectTimeout=5"),
            *("-p", str(host.port), f"{user}@{host.ip}", command),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def runs(pid: int) -> bool:
    """Whether it runs: one that has ended may still wait for its parent."""
    with contextlib.suppress(OSError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False


def test_every_user_of_a_remote_host_can_log_in_and_is_counted(
    remote: RemoteHost,  # noqa: F811
) -> None:
    for user in USERS:
        assert ssh(remote, "id -un", user) == (0, f"{user}\n")
    assert "docker" in ssh(remote, "id", "member")[1]
    assert remote.logins() == len(USERS) + 1


def test_a_remote_host_is_joined_to_its_client_and_to_nothing_else() -> None:
    def addresses() -> str:
        return subprocess.run(
            ["ip", "-o", "addr"], check=True, capture_output=True, text=True
        ).stdout

    with remote_host() as host:
        assert "198.18." not in addresses()
        with entered(host.client):
            assert "198.18." in addresses()
            assert ssh(host)[0] == 0
        assert "198.18." not in addresses()


def test_it_has_a_run_folder_and_users_of_its_own(remote: RemoteHost) -> None:  # noqa: F811
    (remote.run / "here").touch()
    assert ssh(remote, "ls /run/here /var/run/here; getent passwd deploy | cut -d: -f6") == (
        0,
        f"/run/here\n/var/run/here\n{remote.home('deploy')}\n",
    )
    assert not Path("/run/here").exists()


def test_a_black_hole_a_rejection_and_what_heals_them(remote: RemoteHost) -> None:  # noqa: F811
    need("iptables")
    remote.drop()
    assert "timed out" in ssh(remote)[1]
    remote.heal()
    assert ssh(remote)[0] == 0
    remote.reject()
    assert "refused" in ssh(remote)[1]
    remote.heal()
    assert ssh(remote)[0] == 0


def test_sessions_are_frozen_thawed_and_killed_and_sshd_goes_on(
    remote: RemoteHost,  # noqa: F811
) -> None:
    command = ["ssh", "-F", str(remote.config), "-i", str(remote.key), "-o", "BatchMode=yes"]
    command += ["-o", f"UserKnownHostsFile={remote.known_hosts}", f"deploy@{remote.ip}", "cat"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(b"a\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"a\n"
        assert len(remote.sessions()) == 2  # the one with the user's rights, and its monitor
        remote.freeze_sessions()
        session.stdin.write(b"b\n")
        session.stdin.flush()
        time.sleep(0.1)
        remote.thaw_sessions()
        assert session.stdout.readline() == b"b\n"
        remote.kill_sessions()
        assert session.wait(5) == 255
    assert remote.sessions() == []
    assert ssh(remote)[0] == 0


def test_another_host_key_is_another_host_to_its_client(remote: RemoteHost) -> None:  # noqa: F811
    remote.restart(host_key="other")
    assert "HAS CHANGED" in ssh(remote)[1]
    remote.trust("other")
    assert ssh(remote)[0] == 0


def test_several_remote_hosts_have_one_client_in_common() -> None:
    with (
        remote_host(number=1) as one,
        remote_host(client=one.client, number=2) as two,
        entered(one.client),
    ):
        assert ssh(one)[0] == ssh(two)[0] == 0
        assert one.ip != two.ip


def test_nothing_is_left_of_a_remote_host_and_what_runs_on_it() -> None:
    with remote_host() as host:
        with entered(host.client):
            ssh(host, "sleep 1000 >/dev/null 2>&1 & echo started")
        left = host._processes()
        assert len(left) >= 2
    assert not any(runs(pid) for pid in left)
    assert not host.folder.exists()
    assert not host.ns.path.exists()
    assert not host.client.path.exists()
