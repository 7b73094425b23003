"""The answers of all processes as one text in Prometheus' format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pooler.metrics.samples import Sample

if TYPE_CHECKING:
    from pooler.node import Row

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def render(answers: Iterable[Sequence[Row]]) -> bytes:
    """What the processes said (``samples.Sample.as_row``), put together: summed, or the highest."""
    merged: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for rows in answers:
        for row in rows:
            sample = Sample.from_row(row)
            there = merged.setdefault((sample.name, sample.values), sample)
            if there is not sample:
                there.add(sample)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(merged.values()))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_name: dict[str, list[Sample]] = {}
        for sample in samples:
            self._by_name.setdefault(sample.name, []).append(sample)

    def collect(self) -> Iterator[Metric]:
        for name in sorted(self._by_name):
            samples = self._by_name[name]
            yield _family(samples[0], samples)


def _family(first: Sample, samples: Iterable[Sample]) -> Metric:
    if first.kind == "counter":
        counter = CounterMetricFamily(first.name.removesuffix("_total"), first.help, labels=first.labels)
        for sample in samples:
            counter.add_metric(sample.values, sample.numbers[0])
        return cast("Metric", counter)
    if first.kind == "gauge":
        gauge = GaugeMetricFamily(first.name, first.help, labels=first.labels)
        for sample in samples:
            gauge.add_metric(sample.values, sample.numbers[0])
        return cast("Metric", gauge)
    histogram = HistogramMetricFamily(first.name, first.help, labels=first.labels)
    for sample in samples:
        histogram.add_metric(sample.values, _buckets(sample), sample.numbers[-1])
    return cast("Metric", histogram)


def _buckets(sample: Sample) -> list[tuple[str, float]]:
    """Cumulative counts, as Prometheus wants them."""
    found: list[tuple[str, float]] = []
    count = 0.0
    for bound, number in zip((*sample.buckets, float("inf")), sample.numbers, strict=False):
        count += number
        found.append(("+Inf" if bound == float("inf") else repr(float(bound)), count))
    return found
