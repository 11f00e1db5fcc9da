"""What is counted of forwards, as a program that forwards alone shows it."""

from __future__ import annotations

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from mooring.core.families import Family
from mooring.core.forward_metrics import families
from mooring.model.forward import ForwardState, LinkState, Spread
from tests.server.remotes import forward, remote, totals


class Shown(Collector):
    def __init__(self, found: list[Family]) -> None:
        self.found = found

    def collect(self) -> list[Metric]:
        made = []
        for family in self.found:
            metric = Metric(family.name, family.help, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            made.append(metric)
        return made


def text(*reported: object) -> list[str]:
    shown = generate_latest(Shown(families(reported)))  # type: ignore[arg-type]
    return shown.decode().splitlines()


def test_each_remote_host_has_its_counts() -> None:
    lines = text(
        remote(forward(80), forward(81, state=ForwardState.CONFLICT), host="ssh://a"),
        remote(host="ssh://b", state=LinkState.BLOCKED, counted=totals(outages=(), drift=0)),
    )
    for line in (
        'mooring_remote_hosts{state="live"} 1.0',
        'mooring_remote_hosts{state="blocked"} 1.0',
        'mooring_remote_hosts{state="backoff"} 0.0',
        'mooring_forwards{state="conflict"} 1.0',
        'mooring_forward_outages_total{pattern="stale_link",remote="ssh://a"} 1.0',
        'mooring_forward_drift_total{remote="ssh://a"} 1.0',
        'mooring_forward_drift_total{remote="ssh://b"} 0.0',
        'mooring_forward_connections_total{remote="ssh://a",result="held"} 3.0',
        'mooring_forward_bytes_total{direction="out",remote="ssh://b"} 512.0',
        'mooring_forward_listening_seconds_bucket{le="0.1",remote="ssh://a"} 8.0',
        'mooring_forward_listening_seconds_bucket{le="+Inf",remote="ssh://a"} 9.0',
        'mooring_forward_listening_seconds_count{remote="ssh://a"} 9.0',
        "# TYPE mooring_forward_listening_seconds histogram",
        "# TYPE mooring_forward_away_seconds_total counter",
    ):
        assert line in lines
    assert 'mooring_forward_outages_total{pattern="stale_link",remote="ssh://b"} 1.0' not in lines


def test_without_remote_hosts_the_families_are_there_and_empty() -> None:
    lines = text()
    assert "# TYPE mooring_forward_outages_total counter" in lines
    assert not [line for line in lines if line.startswith("mooring_forward_")]
    assert 'mooring_forwards{state="listening"} 0.0' in lines


def test_a_host_without_starts_has_no_histogram() -> None:
    lines = text(remote(counted=totals(listening=Spread())))
    assert not [line for line in lines if line.startswith("mooring_forward_listening")]
