"""What the server counts of itself; each process has its own registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest

from mooring.core.bus import Bus
from mooring.core.families import Family
from mooring.core.forward_metrics import states, totals
from mooring.model.event import Authentication, Changed, Event, Recovered
from mooring.server import can_metrics
from mooring.server.db.counts import Counts

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters, and the gauges that are read from the database when asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests",
            "HTTP requests answered.",
            ["method", "path", "status", "entity_type"],
            registry=self.registry,
        )
        self.durations = Histogram(
            "http_request_duration_seconds",
            "Time to answer an HTTP request, by the pattern of its path.",
            ["method", "path"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.events = Counter(
            "mooring_events",
            "Changes told on the event bus.",
            ["entity", "operation"],
            registry=self.registry,
        )
        self.authentications = Counter(
            "mooring_authentications",
            "Attempts to come in.",
            ["action", "result"],
            registry=self.registry,
        )
        self.hosts = Gauge("mooring_hosts", "Hosts known.", registry=self.registry)
        self.subnets = Gauge("mooring_subnets", "Subnets present.", registry=self.registry)
        self.containers = Gauge("mooring_containers", "Containers present.", registry=self.registry)
        self.agents = Gauge("mooring_agents", "Agents.", ["state"], registry=self.registry)
        self.runs = Gauge(
            "mooring_runs", "Discovery runs kept.", ["kind", "state"], registry=self.registry
        )
        self.ports = Gauge("mooring_ports", "Open ports known.", registry=self.registry)
        self.services = Gauge(
            "mooring_services", "Different services found.", registry=self.registry
        )
        self.reported = _Families()
        self.registry.register(self.reported)
        self.can_recoveries = Gauge(
            "mooring_can_recoveries",
            "CAN recoveries told since the server's start.",
            registry=self.registry,
        )

    def note(self, event: Event) -> None:
        """Count one event of the bus."""
        if isinstance(event, Changed):
            self.events.labels(event.entity.value, event.operation.value).inc()
        elif isinstance(event, Authentication):
            self.authentications.labels(event.action, "ok" if event.ok else "refused").inc()
        elif isinstance(event, Recovered) and event.capability == "can":
            self.can_recoveries.inc()

    async def follow(self, bus: Bus) -> None:
        """Count the bus's events until it closes."""
        with bus.subscribe(size=100_000) as news:
            async for event in news:
                self.note(event)

    def set_gauges(self, found: Counts) -> None:
        self.hosts.set(found.hosts)
        self.subnets.set(found.subnets)
        self.containers.set(found.containers)
        for state, count in found.agents.items():
            self.agents.labels(state).set(count)
        self.ports.set(found.ports)
        self.services.set(found.services)
        for (kind, state), count in found.runs.items():
            self.runs.labels(kind, state).set(count)
        self.reported.families = [
            *states(found.remote_hosts, found.forwards),
            *totals(found.totals),
            *can_metrics.families(found.can_buses, found.can_drivers),
        ]

    def text(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry)


class _Families:
    """A collector of families that were made elsewhere."""

    def __init__(self) -> None:
        self.families: Sequence[Family] = ()

    def collect(self) -> Iterator[Metric]:
        for family in self.families:
            metric = Metric(family.name, family.help, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            yield metric
