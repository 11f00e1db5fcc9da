from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import netns
from tests.lab.netns import PREFIX, namespace, namespaces
from tests.parts import need

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def _netns() -> None:
    need("netns")


def inode() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_a_namespace_is_gone_after_it_whatever_happened_inside() -> None:
    made = []

    def fail_inside() -> None:
        with namespace() as ns:
            made.append(ns.path)
            assert ns.path.exists()
            ns.call(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert not made[0].exists()


def test_the_caller_stays_where_it_is() -> None:
    home = inode()
    with namespace() as ns:
        inside = ns.call(inode)
        assert inside != home
        assert inode() == home
    assert inode() == home


def test_processes_and_the_threads_of_an_event_loop_are_inside_too() -> None:
    show = f"import os; print(os.stat('/proc/self/ns/net').st_ino, {os.getpid()})"
    with namespace() as ns:
        inside = ns.call(inode)
        assert ns.run([sys.executable, "-c", show]).stdout.split()[0] == str(inside)
        process = ns.popen([sys.executable, "-c", show], stdout=subprocess.PIPE)
        assert process.communicate()[0].split()[0].decode() == str(inside)
        in_a_thread = ns.call(lambda: asyncio.run(asyncio.to_thread(inode)))  # type: ignore[arg-type]
        assert in_a_thread == inside


def test_two_namespaces_know_nothing_of_each_other_until_they_are_joined() -> None:
    with namespaces(2) as (one, other):
        one.batch(f"link add e0 type veth peer name e0 netns {other.name}")
        assert {link["ifname"] for link in one.ip_json("link")} == {"lo", "e0"}
        one.batch("addr add 10.0.0.1/24 dev e0", "link set e0 up")
        assert [a for link in other.ip_json("addr", "show", "e0") for a in link["addr_info"]] == []


def test_a_failing_command_shows_what_the_program_said() -> None:
    with namespace() as ns, pytest.raises(RuntimeError, match="Cannot find device"):
        ns.run(["ip", "link", "set", "nosuch", "up"])


def test_what_a_killed_run_left_is_swept_away() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = netns.Namespace(f"{PREFIX}{ended.pid}-left")
    netns._make(left)
    with namespace() as ns:
        assert not left.path.exists()
        assert ns.path.exists()
    assert not ns.path.exists()
