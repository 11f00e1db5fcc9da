"""What a program that forwards reports: remote hosts, their forwards, and what happened to them."""

from __future__ import annotations

from typing import Any

from mooring.model.forward import (
    Diagnosis,
    Drop,
    Forward,
    Forwards,
    ForwardState,
    LinkState,
    Moment,
    Pattern,
    RemoteHost,
    Reported,
    Spread,
    Totals,
)
from tests.server.world import NOON

BUILD = "ssh://deploy@build.example"
HEALTHY = Diagnosis(Pattern.HEALTHY, ("Docker answers in 3 ms",), ())


def forward(port: int, container: str = "web", **more: Any) -> Forward:
    """A forward of a TCP port that listens."""
    values: dict[str, Any] = {
        "local": f"127.0.0.1:{port}",
        "remote": f"127.0.0.1:{port}",
        "protocol": "tcp",
        "state": ForwardState.LISTENING,
        "since": NOON - 60,
    }
    return Forward(container=container, **(values | more))


def totals(**more: Any) -> Totals:
    values: dict[str, Any] = {
        "since": NOON - 600,
        "outages": (("network_interruption", 2), ("stale_link", 1)),
        "away_s": 1.5,
        "drift": 1,
        "flaps": 4,
        "connections": 30,
        "held": 3,
        "failed": 2,
        "bytes_in": 4096,
        "bytes_out": 512,
        "listening": Spread((0.01, 0.1), (5, 3, 1), 0.75),
    }
    return Totals(**(values | more))


def remote(
    *forwards: Forward,
    host: str = BUILD,
    state: LinkState = LinkState.LIVE,
    history: tuple[Moment, ...] = (),
    diagnosis: Diagnosis = HEALTHY,
    counted: Totals | None = None,
    **more: Any,
) -> Reported:
    """One remote host as it is reported: by default its link lives."""
    values: dict[str, Any] = {
        "since": NOON - 120,
        "generation": 1,
        "consecutive_failures": 0,
        "docker": "docker 28.0.1 at unix:///var/run/docker.sock",
        "ping_ms": 1.5,
        "last_drop": None,
    }
    return Reported(
        RemoteHost(host=host, state=state, forwards=forwards, **(values | more)),
        diagnosis,
        counted or totals(),
        history,
    )


def reported(*remotes: Reported) -> Forwards:
    return Forwards(remotes)


def dropped(seconds: float | None = 0.26, at: float = NOON - 1) -> Drop:
    return Drop(at, "network_interruption", seconds)
