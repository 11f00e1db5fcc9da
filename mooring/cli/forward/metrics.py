"""``mooring forward metrics``: what the instance that runs has counted, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mooring.cli.forward.options import StateDir, state_folder
from mooring.forward import control
from mooring.model.forward import Forwards


def metrics(*, state_dir: StateDir = None) -> None:
    """Print the metrics of the instance that runs, in Prometheus' text format.

    For Prometheus have a timer write them to a file that node_exporter's textfile collector
    reads. A server that the instance reports to has the same at its own /metrics.
    """
    print(_text(msgspec.convert(control.ask(state_folder(state_dir), "report"), Forwards)), end="")


def _text(body: Forwards) -> str:
    # Loaded for this command alone.
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.exposition import generate_latest
    from prometheus_client.registry import Collector

    from mooring.core.forward_metrics import families

    class Counted(Collector):
        def collect(self) -> Iterable[Metric]:
            for family in families(body.remotes):
                metric = Metric(family.name, family.help, family.kind)
                for sample in family.samples:
                    metric.add_sample(sample.name, dict(sample.labels), sample.value)
                yield metric

    registry = CollectorRegistry()
    registry.register(Counted())
    return generate_latest(registry).decode()
