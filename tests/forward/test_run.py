"""One remote host, kept: over a link that breaks and hangs, and a Docker that does the same."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from mooring.core.backoff import Backoff
from mooring.core.tasks import Tasks
from mooring.forward import life as lives
from mooring.forward.address import Address
from mooring.forward.keep import Keep
from mooring.forward.run import Remote, Settings
from mooring.forward.transport import Lost, Refused
from mooring.forward.tunnels import Limits
from mooring.forward.wanted import Rules
from mooring.forward.watch import Pace
from mooring.model.forward import Forward, ForwardState, LinkState, Pattern
from tests.forward.fakes import Engine, Host, free_port, hear, program, until

QUICK = Pace(
    ping_every=0.1,
    probe=0.15,
    list_every=0.2,
    list_within=1.0,
    conflict_every=0.1,
    linger=0.15,
    told=0.1,
    again=0.1,
    close=0.1,
)


class Lab:
    """A remote host with Docker, and ourselves forwarding it."""

    def __init__(self, folder: Path, tasks: Tasks) -> None:
        self.folder = folder
        self.tasks = tasks
        self.engine = Engine(folder / "docker.sock")
        self.host = Host(self.engine.path)
        self.settings = Settings(pace=QUICK, limits=Limits(hold=2.0))
        self.remote: Remote
        self.task: asyncio.Task[None]

    def go(self, **rules: Any) -> Remote:
        """Forward it, from now on."""
        if rules:
            self.settings = replace(self.settings, rules=Rules(**rules))
        keep = Keep(self.folder / "state", "ssh://build")
        self.remote = Remote(Address("build"), self.settings, self.host.connect, keep)
        self.task = self.tasks.start("remote", self.remote.run())
        return self.remote

    async def live(self, **rules: Any) -> Remote:
        self.go(**rules)
        await self.state(LinkState.LIVE)
        return self.remote

    async def state(self, *wanted: LinkState, seconds: float = 3.0) -> None:
        await until(lambda: self.remote.status().state in wanted, f"state {wanted}", seconds)

    def publish(self, name: str, **more: Any) -> int:
        """Start a container that publishes a port on which the program ``name`` listens."""
        port = free_port()
        self.host.programs[port] = self.programs[name]
        self.engine.start(name, port, **more)
        return port

    programs: dict[str, int]

    def forwards(self) -> dict[int, Forward]:
        return {int(f.local.rpartition(":")[2] or 0): f for f in self.remote.status().forwards}

    async def listening(self, *ports: int) -> None:
        """Wait until exactly these are listened on."""
        await until(lambda: {f.place.port for f in self.wants()} == set(ports), f"{ports}")

    def wants(self) -> list[Any]:
        return list(self.remote.tunnels.actual.values())

    def ended_by(self) -> list[str]:
        return [record.ended_by for record in self.remote.keep.records]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with program("web") as web, program("db") as db:
        async with Tasks("test") as tasks:
            made = Lab(tmp_path, tasks)
            made.programs = {"web": web, "db": db}
            await made.engine.up()
            yield made
        await made.engine.down()
        for link in made.host.links:
            await link.close()


# --- as it should be


async def test_what_runs_already_is_forwarded(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    assert await hear(port) == "web"
    (forward,) = lab.remote.status().forwards
    assert (forward.local, forward.remote) == (f"127.0.0.1:{port}", f"127.0.0.1:{port}")
    assert (forward.container, forward.state) == ("web", ForwardState.LISTENING)
    assert lab.remote.status().docker == "docker 20.10.24 at unix:///var/run/docker.sock"


async def test_a_container_that_starts_is_forwarded_by_its_event(lab: Lab) -> None:
    await lab.live()
    port = lab.publish("web")
    await lab.listening(port)
    assert await hear(port) == "web"
    assert len(lab.remote.condition.counts.event_to_listening_ms) == 1


async def test_the_port_of_a_container_that_stopped_is_let_go_after_a_moment(lab: Lab) -> None:
    lab.settings = replace(lab.settings, pace=replace(QUICK, linger=0.6))
    port = lab.publish("web")
    await lab.live()
    lab.engine.stop("web")
    await until(lambda: lab.forwards()[port].state is ForwardState.LINGERING)
    await lab.listening()
    with pytest.raises(ConnectionError):
        await hear(port)


async def test_a_container_that_is_told_to_have_died_before_it_is_listed_so_is_let_go(
    lab: Lab,
) -> None:
    lab.settings = replace(lab.settings, pace=replace(QUICK, list_every=60.0))
    lab.publish("web")
    await lab.live()
    before = lab.engine.listed
    lab.engine._tell("die", lab.engine.containers["web"])
    await until(lambda: lab.engine.listed > before)
    del lab.engine.containers["web"]
    await lab.listening()


async def test_a_container_that_crashes_and_restarts_at_once_keeps_its_port(lab: Lab) -> None:
    lab.settings = replace(lab.settings, pace=replace(QUICK, linger=1.0))
    port = lab.publish("web")
    await lab.live()
    before = lab.remote.tunnels.listeners
    for _ in range(3):
        lab.engine.stop("web")
        await until(lambda: lab.forwards()[port].state is ForwardState.LINGERING)
        lab.engine.start("web", port)
        await until(lambda: lab.forwards()[port].state is ForwardState.LISTENING)
    assert {k: v.socket for k, v in lab.remote.tunnels.listeners.items()} == {
        k: v.socket for k, v in before.items()
    }
    assert lab.remote.ports.flaps == 3


async def test_a_container_that_is_renamed_or_paused_keeps_its_port(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    before = lab.remote.tunnels.listeners
    lab.engine.containers["web"].state = "paused"
    lab.engine.rename("web", "site")
    await until(lambda: lab.forwards()[port].container == "site")
    assert [x.socket for x in lab.remote.tunnels.listeners.values()] == [
        x.socket for x in before.values()
    ]
    assert await hear(port) == "web"


async def test_a_port_that_is_published_when_a_network_is_connected_is_forwarded(lab: Lab) -> None:
    lab.engine.start("web")
    await lab.live()
    port = free_port()
    lab.engine.connect("web", port)
    await lab.listening(port)
    assert lab.remote.condition.counts.drift == 0


async def test_a_port_that_another_container_takes_over_leads_to_it_at_once(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    lab.engine.stop("web")
    lab.host.programs[port] = lab.programs["db"]
    lab.engine.start("db", port)
    await until(lambda: lab.forwards()[port].container == "db")
    assert await hear(port) == "db"


async def test_in_quiet_one_link_and_one_stream_carry_everything(lab: Lab) -> None:
    lab.publish("web")
    await lab.live()
    await asyncio.sleep(0.45)
    assert len(lab.host.links) == 1
    assert lab.engine.streams == 1
    assert lab.remote.condition.counts.drift == 0
    assert lab.remote.status().ping_ms is not None


async def test_every_port_is_let_go_within_two_seconds_of_the_end(lab: Lab) -> None:
    ports = [lab.publish("web"), *(free_port() for _ in range(30))]
    for port in ports[1:]:
        lab.engine.start(f"c{port}", port)
    await lab.live()
    await until(lambda: len(lab.wants()) == len(set(ports)))
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
    await reader.readline()
    began = asyncio.get_running_loop().time()
    lab.task.cancel()
    await asyncio.wait([lab.task])
    assert asyncio.get_running_loop().time() - began < 1
    for port in ports:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
    writer.close()
    assert lab.remote.status().state is LinkState.STOPPED
    assert lab.ended_by() == ["stop"]
    assert lab.host.link.closed


# --- the link breaks


async def test_a_cut_refuses_nobody_and_the_link_is_made_again_at_once(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    began = asyncio.get_running_loop().time()
    lab.host.link.kill()
    assert await hear(port) == "web"
    assert asyncio.get_running_loop().time() - began < 0.5
    await lab.state(LinkState.LIVE)
    status = lab.remote.status()
    assert (status.generation, status.consecutive_failures) == (2, 1)
    assert status.last_drop
    assert status.last_drop.pattern == "network_interruption"
    assert status.last_drop.seconds is not None
    assert lab.ended_by() == ["link_lost"]
    assert lab.remote.condition.counts.outages == {"network_interruption": 1}


async def test_a_break_that_a_command_notices_before_the_link_does_is_no_silence(lab: Lab) -> None:
    await lab.live()
    lab.host.link.kill("closed by the remote host", told=False)
    await until(lambda: lab.remote.status().generation == 2)
    await lab.state(LinkState.LIVE)
    drop = lab.remote.status().last_drop
    assert drop
    assert drop.pattern == "network_interruption"
    assert lab.ended_by() == ["link_lost"]


async def test_what_started_and_stopped_during_an_outage_is_put_right_by_the_list(
    lab: Lab,
) -> None:
    gone, stays = lab.publish("web"), lab.publish("db")
    await lab.live()
    lab.host.unreachable()
    lab.host.link.kill()
    await lab.state(LinkState.BACKOFF)
    assert {f.state for f in lab.forwards().values()} == {ForwardState.HELD}
    lab.engine.mute = True
    lab.engine.stop("web")
    new = free_port()
    lab.engine.start("new", new)
    lab.host.refuses = None
    lab.remote.hurry.set()
    await lab.listening(stays, new)
    assert gone not in lab.forwards()


async def test_a_client_that_comes_during_an_outage_is_held_and_served(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    lab.host.unreachable()
    lab.host.link.kill()
    await lab.state(LinkState.BACKOFF)
    heard = lab.tasks.start("client", hear(port))
    await until(lambda: lab.remote.tunnels.held == 1)
    (forward,) = lab.remote.status().forwards
    assert (forward.state, forward.since) == (ForwardState.HELD, lab.remote.condition.away_since)
    lab.host.refuses = None
    assert await heard == "web"


async def test_a_link_that_is_cut_again_and_again_is_made_again_soon(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "BACKOFF", Backoff(first=0.02))
    port = lab.publish("web")
    await lab.live()
    for number in range(2, 14):
        lab.host.link.kill()
        await until(lambda n=number: lab.remote.status().generation == n, seconds=2)
        await lab.state(LinkState.LIVE)
    assert await hear(port) == "web"
    assert lab.remote.status().consecutive_failures == 12


async def test_the_cuts_before_do_not_hold_up_a_stream_that_breaks_behind_a_good_link(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "BACKOFF", Backoff(first=0.02))
    await lab.live()
    for number in range(2, 14):
        lab.host.link.kill()
        await until(lambda n=number: lab.remote.status().generation == n)
        await lab.state(LinkState.LIVE)
    await lab.engine.hang_up()
    port = lab.publish("web")
    await until(lambda: port in lab.forwards(), seconds=3)
    assert len(lab.host.links) == 13


async def test_a_host_that_is_away_is_tried_for_ever_with_growing_waits(lab: Lab) -> None:
    lab.host.unreachable()
    lab.go()
    await until(lambda: lab.remote.status().consecutive_failures >= 3)
    assert lab.remote.status().detail == "connecting: no route to host"
    lab.host.refuses = None
    lab.remote.hurry.set()
    await lab.state(LinkState.LIVE)


async def test_a_host_that_is_back_is_linked_to_before_its_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.live()
    lab.host.link.kill()
    lab.host.peer = "127.0.0.1", free_port()
    await until(lambda: len(lab.host.links) == 2)
    await lab.state(LinkState.LIVE)
    monkeypatch.setattr(lives, "wait", lambda life, chance: 3600.0)
    lab.host.unreachable()
    lab.host.link.kill()
    await lab.state(LinkState.BACKOFF)
    lab.host.refuses = None
    # Nothing has been seen to change before the look that is answered.
    await until(lambda: lab.remote._reach._missed)
    with socket.create_server(lab.host.peer):
        await lab.state(LinkState.LIVE, seconds=15)


@pytest.mark.slow
async def test_a_host_that_was_there_all_the_time_is_tried_in_its_own_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        lab.host.peer = listening.getsockname()[:2]
        await lab.live()
        monkeypatch.setattr(lives, "wait", lambda life, chance: 3600.0)
        lab.host.link.kill()
        listening.settimeout(10)
        looked, _ = await asyncio.to_thread(listening.accept)
        looked.close()
        await asyncio.sleep(0.6)
        assert lab.remote.status().state is LinkState.BACKOFF


async def test_a_link_through_which_nothing_comes_is_known_and_replaced(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    lab.host.link.frozen.set()
    await until(lambda: lab.remote.status().generation == 2)
    await lab.state(LinkState.LIVE)
    assert lab.ended_by() == ["link_silent"]
    drop = lab.remote.status().last_drop
    assert drop
    assert drop.pattern == "stale_link"
    assert await hear(port) == "web"


async def test_a_client_that_finds_the_link_dead_has_it_looked_at_at_once(lab: Lab) -> None:
    lab.settings = replace(lab.settings, pace=replace(QUICK, ping_every=60))
    port = lab.publish("web")
    await lab.live()
    link = lab.host.link
    carry = link.carry

    async def hangs(*given: Any) -> None:
        link.frozen.set()
        link.carry = carry  # type: ignore[method-assign]
        raise Lost("opening a channel", "no answer within 3 s")

    link.carry = hangs  # type: ignore[method-assign,assignment]
    assert await hear(port) == "web"
    assert lab.remote.status().generation == 2
    assert lab.ended_by() == ["link_silent"]


async def test_a_person_must_act_is_said_and_tried_again_when_asked(lab: Lab) -> None:
    lab.host.locked()
    lab.go()
    await lab.state(LinkState.BLOCKED)
    assert lab.remote.status().detail == "logging in: the key was denied (ssh-add)"
    assert (await lab.remote.diagnose()).pattern is Pattern.AUTHENTICATION
    lab.host.refuses = None
    lab.remote.hurry.set()
    await lab.state(LinkState.LIVE)


async def test_no_right_to_dockers_socket_is_for_a_person_to_mend(lab: Lab) -> None:
    lab.host.denies = True
    lab.go()
    await lab.state(LinkState.BLOCKED)
    assert "usermod -aG docker deploy" in lab.remote.status().detail


async def test_the_same_failure_again_and_again_does_not_push_out_the_history(lab: Lab) -> None:
    lab.host.unreachable()
    lab.go()
    for failures in range(2, 6):
        lab.remote.hurry.set()
        await until(lambda n=failures: lab.remote.status().consecutive_failures >= n)
    assert [m.what for m in lab.remote.keep.history] == ["link_lost"]


# --- Docker


async def test_a_docker_that_hangs_costs_no_forward_and_no_link(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    lab.engine.hangs = True
    await lab.state(LinkState.SUSPECT)
    await until(lambda: "expected an answer within" in lab.remote.status().docker)
    assert await hear(port) == "web"
    found = await lab.remote.diagnose()
    assert found.pattern is Pattern.DOCKER_SILENT
    assert found.advice[0].startswith("on the remote host: ")
    lab.engine.hangs = False
    await lab.state(LinkState.LIVE)
    assert len(lab.host.links) == 1
    assert lab.ended_by() == ["docker_silent"]
    assert lab.remote.status().docker.startswith("docker 20.10.24")


async def test_a_docker_that_is_restarted_is_listed_anew_over_the_same_link(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    await lab.engine.down()
    await lab.state(LinkState.SUSPECT)
    lab.engine.mute = True
    new = lab.publish("db")
    await lab.engine.up()
    await lab.listening(port, new)
    assert len(lab.host.links) == 1


async def test_a_docker_that_is_not_there_yet_is_waited_for_over_one_link(lab: Lab) -> None:
    await lab.engine.down()
    lab.go()
    await until(lambda: "no such file" in lab.remote.status().docker.lower())
    assert lab.remote.status().state is LinkState.VERIFYING
    assert (await lab.remote.diagnose()).pattern is Pattern.DOCKER_SILENT
    port = lab.publish("web")
    await lab.engine.up()
    await lab.listening(port)
    assert len(lab.host.links) == 1


@pytest.mark.parametrize("part", ["containers/json", "events"])
async def test_a_docker_that_answers_and_forbids_what_is_needed_is_not_asked_at_full_speed(
    lab: Lab, part: str
) -> None:
    lab.engine.forbids = part
    lab.publish("web")
    lab.go()
    await until(lambda: "403" in lab.remote.status().detail)
    before = lab.engine.listed
    await asyncio.sleep(0.3)
    assert lab.engine.listed - before <= 3
    assert len(lab.host.links) == 1
    lab.engine.forbids = ""
    lab.remote.hurry.set()
    await lab.state(LinkState.LIVE)


async def test_a_target_that_does_not_answer_is_no_fault_of_the_link(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    for streams in range(2, 6):
        lab.remote.tunnels._trouble("connecting to 10.0.0.9:80: no answer within 3 s")
        await until(lambda n=streams: lab.engine.streams == n, seconds=1)
        await lab.state(LinkState.LIVE)
    assert len(lab.host.links) == 1
    assert await hear(port) == "web"
    assert (await lab.remote.diagnose()).pattern is Pattern.HEALTHY


async def test_an_event_that_got_lost_is_found_by_the_next_list_and_counted(lab: Lab) -> None:
    # On a busy machine a sign of life comes late, and what a new stream finds is no drift.
    lab.settings = replace(lab.settings, pace=replace(QUICK, ping_every=60))
    await lab.live()
    lab.engine.mute = True
    port = lab.publish("web")
    await lab.listening(port)
    await until(lambda: lab.remote.condition.counts.drift == 1)


async def test_an_event_that_only_comes_a_little_late_is_no_drift(lab: Lab) -> None:
    await lab.live()
    lab.engine.mute = True
    made = lab.publish("web")
    await lab.listening(made)
    lab.engine.mute = False
    lab.engine._tell("start", lab.engine.containers["web"])
    await asyncio.sleep(0.3)
    assert lab.remote.condition.counts.drift == 0


async def test_events_are_taken_up_from_where_they_stopped(lab: Lab) -> None:
    lab.publish("web")
    await lab.live()
    lab.publish("db")
    await until(lambda: lab.remote.keep.since)
    lab.host.link.kill()
    await until(lambda: len(lab.engine.asked_since) == 2)
    assert lab.engine.asked_since == [None, "1700000000.000000001"]


# --- ports


async def test_a_taken_port_is_a_conflict_that_is_retried_and_stops_no_other(lab: Lab) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        lab.host.programs[taken] = lab.programs["db"]
        lab.engine.start("db", taken)
        port = lab.publish("web")
        await lab.live()
        conflict = lab.forwards()[taken]
        assert conflict.state is ForwardState.CONFLICT
        assert f"127.0.0.1:{taken}/tcp is taken by" in conflict.detail
        assert conflict.container == "db"
        assert await hear(port) == "web"
        await asyncio.sleep(0.25)
        assert [m.what for m in lab.remote.keep.history].count("conflict") == 1
    await lab.listening(taken, port)
    assert await hear(taken) == "db"
    assert lab.remote.condition.counts.drift == 0


async def test_a_port_that_a_later_container_has_is_a_conflict_since_that_one_came(
    lab: Lab,
) -> None:
    port = lab.publish("web")
    await lab.live()
    await lab.listening(port)
    before = time.time()
    there = {"IP": "10.0.0.1", "PrivatePort": port, "PublicPort": port, "Type": "tcp"}
    lab.engine.start("db", there)
    await until(lambda: len(lab.remote.status().forwards) == 2)
    (lost,) = (f for f in lab.remote.status().forwards if f.state is ForwardState.CONFLICT)
    assert lost.container == "web"
    assert before <= lost.since <= time.time()
    (told,) = (m for m in lab.remote.keep.history if m.what == "conflict")
    assert (told.container, told.detail) == ("web", lost.detail)


async def test_a_random_port_that_changed_at_a_restart_is_reached_by_both_numbers(
    lab: Lab,
) -> None:
    # The kernel chooses from the same range here as Docker does there.
    first, second = free_port(), free_port()
    lab.host.programs = {first: lab.programs["web"], second: lab.programs["web"]}

    def start(port: int) -> None:
        lab.engine.start(
            "web", {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"}
        )

    start(first)
    await lab.live()
    lab.engine.stop("web")
    del lab.host.programs[first]
    start(second)
    await lab.listening(first, second)
    assert await hear(first) == await hear(second) == "web"


async def test_what_came_and_went_is_remembered_over_a_restart_of_ours(lab: Lab) -> None:
    port = lab.publish("web")
    await lab.live()
    lab.engine.stop("web")
    await until(lambda: "closed" in [m.what for m in lab.remote.keep.history], "it was let go")
    lab.task.cancel()
    await asyncio.wait([lab.task])
    kept = [(m.what, m.place) for m in Keep(lab.folder / "state").history]
    place = f"127.0.0.1:{port}/tcp"
    assert kept == [("opened", place), ("link_live", ""), ("closed", place), ("stopped", "")]


async def test_rules_leave_ports_out(lab: Lab) -> None:
    port = lab.publish("web")
    lab.publish("db")
    await lab.live(exclude=("db",))
    await lab.listening(port)


# --- Docker for programs here


async def test_a_stream_to_docker_waits_for_the_link(lab: Lab) -> None:
    lab.host.unreachable()
    lab.go()
    opening = lab.tasks.start("docker", lab.remote.docker())
    await asyncio.sleep(0.05)
    assert not opening.done()
    lab.host.refuses = None
    lab.remote.hurry.set()
    reader, writer = await opening
    writer.write(b"GET /_ping HTTP/1.1\r\n\r\n")
    assert b"200 OK" in await reader.read(1000)
    writer.close()


async def test_a_stream_to_docker_is_not_waited_for_without_end(lab: Lab) -> None:
    lab.settings = replace(lab.settings, limits=Limits(hold=0.1))
    lab.host.unreachable()
    lab.go()
    with pytest.raises(Refused, match="no route to host"):
        await lab.remote.docker()


async def test_a_remote_host_that_forbids_forwarding_is_diagnosed_once_a_client_met_it(
    lab: Lab,
) -> None:
    port = lab.publish("web")
    await lab.live()
    link = lab.host.link
    carry = link.carry

    async def forbids(*given: Any) -> None:
        raise Refused("connecting", "administratively prohibited", prohibited=True)

    link.carry = forbids  # type: ignore[method-assign]
    with pytest.raises(ConnectionResetError):
        await hear(port)
    status = lab.remote.status()
    assert status.state is LinkState.LIVE
    assert "the remote sshd prohibits to connect to the containers' ports" in status.detail
    found = await lab.remote.diagnose()
    assert found.pattern is Pattern.AUTHENTICATION
    assert "AllowTcpForwarding yes" in found.advice[0]
    link.carry = carry  # type: ignore[method-assign]
    assert await hear(port) == "web"
    await until(lambda: not lab.remote.tunnels.forbidden)
    assert (await lab.remote.diagnose()).pattern is Pattern.HEALTHY


async def test_a_docker_that_is_not_there_is_diagnosed_with_what_starts_it(lab: Lab) -> None:
    lab.host.docker = None
    lab.go()
    await until(lambda: lab.remote.status().docker)
    found = await lab.remote.diagnose()
    assert found.pattern is Pattern.DOCKER_SILENT
    assert "--docker-host unix:///PATH" in found.advice[0]


async def test_a_healthy_link_is_diagnosed_as_such(lab: Lab) -> None:
    await lab.live()
    found = await lab.remote.diagnose()
    assert found.pattern is Pattern.HEALTHY
    assert "Docker answered in" in found.evidence[0]
    assert lab.remote.status().state is LinkState.LIVE


async def test_everything_that_is_logged_of_a_host_names_it(lab: Lab) -> None:
    merge = structlog.contextvars.merge_contextvars
    with capture_logs(processors=[merge]) as logged:
        lab.publish("web")
        await lab.live()
        await lab.listening(*lab.host.programs)
    told = {entry["event"]: entry.get("host") for entry in logged}
    assert {"docker_found", "forward_opened", "link_live"} <= told.keys()
    assert set(told.values()) == {"ssh://build"}


async def test_a_retry_of_a_link_that_is_live_leaves_it_as_it_is(lab: Lab) -> None:
    remote = await lab.live()
    before = remote.status()
    remote.nudge("it was asked for")
    await until(lambda: "asked" in lab.ended_by())
    await lab.state(LinkState.LIVE)
    assert remote.status().since == before.since
    assert [m.what for m in remote.keep.history] == ["link_live"]


async def test_a_host_that_was_never_reached_has_not_lost_its_link(lab: Lab) -> None:
    lab.host.unreachable()
    remote = lab.go()
    await until(lambda: remote.status().consecutive_failures >= 2)
    assert remote.status().last_drop is None
    assert remote.condition.away_since is not None
    lab.host.refuses = None
    await lab.state(LinkState.LIVE)
    assert remote.status().last_drop is None
    assert remote.condition.counts.away_s > 0
    lab.host.link.kill("the remote side closed it")
    await until(lambda: remote.status().last_drop)
    lost = next(m for m in remote.keep.history if m.what == "link_lost" and "closed" in m.detail)
    assert lost.detail == "the remote side closed it"
