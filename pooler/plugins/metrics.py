"""Numbers that plugins show, kept by name and labels."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from pooler.metrics.rendering import render
from pooler.metrics.samples import Kind, Sample

__all__ = ["MAX_LABEL_SETS", "MetricsRegistry", "PluginMetrics"]

MAX_LABEL_SETS: Final = 1000
"""Different sets of labels of one metric; what comes beyond is counted under ``other``."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_LABEL: Final = re.compile(r"[a-z_][a-z0-9_]*")


class MetricsRegistry:
    """The metrics of all plugins of the process. They outlive a reload."""

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}

    def of(self, plugin: str) -> PluginMetrics:
        """Where a plugin makes its metrics."""
        return PluginMetrics(self, plugin)

    def make(
        self, plugin: str, kind: Kind, name: str, help: str, labels: Sequence[str], buckets: tuple[float, ...]
    ) -> _Metric:
        """The metric of this name; the same again after a reload. Raises ValueError for a wrong name or a taken one."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} can't name a metric: only lower-case letters, digits and _ may stand in it")
        if (kind == "counter") is not name.endswith("_total"):
            raise ValueError(f"{name}: the name of a counter ends with _total, and that of no other metric does")
        wrong = [label for label in labels if not _LABEL.fullmatch(label)]
        if wrong:
            raise ValueError(f"{name}: {wrong[0]!r} can't name a label")
        if list(buckets) != sorted(set(buckets)):
            raise ValueError(f"{name}: the buckets are not in rising order")
        full = f"interceptor_{name}"
        made = _Metric(plugin, kind, full, help, tuple(labels), buckets)
        found = self._metrics.setdefault(full, made)
        if found.shape != made.shape:
            raise ValueError(f"there is a metric {full} already, of the plugin {found.plugin}, and it is another one")
        found.help = help
        return found

    def render(self) -> str:
        """All that there is to show, as Prometheus reads it."""
        return "".join(render(self.samples()))

    def samples(self) -> Iterator[Sample]:
        """All that there is to show."""
        for metric in self._metrics.values():
            for labels, numbers in metric.values.items():
                yield Sample(
                    metric.name, metric.kind, metric.help, metric.labels, labels, list(numbers), metric.buckets
                )


class PluginMetrics:
    """Implements ``Metrics`` for one plugin."""

    def __init__(self, registry: MetricsRegistry, plugin: str) -> None:
        self._registry = registry
        self._plugin = plugin

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> _Counter:
        """As ``Metrics.counter``. Raises ValueError as ``MetricsRegistry.make``."""
        return _Counter(self._registry.make(self._plugin, "counter", name, help, labels, ()))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> _Gauge:
        """As ``Metrics.gauge``."""
        return _Gauge(self._registry.make(self._plugin, "gauge", name, help, labels, ()))

    def histogram(self, name: str, help: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> _Histogram:
        """As ``Metrics.histogram``."""
        return _Histogram(self._registry.make(self._plugin, "histogram", name, help, labels, tuple(buckets)))


class _Metric:
    """The values of one metric by the values of its labels. Of a histogram: a count for each bucket, the sum last."""

    def __init__(
        self, plugin: str, kind: Kind, name: str, help: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> None:
        self.plugin = plugin
        self.kind: Final[Kind] = kind
        self.name: Final = name
        self.help = help
        self.labels: Final = labels
        self.buckets: Final = buckets
        self.values: dict[tuple[str, ...], list[float]] = {}

    @property
    def shape(self) -> tuple[object, ...]:
        return self.plugin, self.kind, self.labels, self.buckets

    def at(self, labels: tuple[str, ...]) -> list[float]:
        """The numbers under these labels, to be changed by the caller. Raises ValueError for too many or too few."""
        found = self.values.get(labels)
        if found is not None:
            return found
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has {len(self.labels)} labels, and was given {len(labels)}")
        if len(self.values) >= MAX_LABEL_SETS:
            labels = ("other",) * len(labels)
        empty = [0.0] * (len(self.buckets) + 2 if self.kind == "histogram" else 1)
        return self.values.setdefault(labels, empty)


class _Counter:
    def __init__(self, metric: _Metric) -> None:
        self._metric = metric

    def add(self, amount: float = 1, *labels: str) -> None:
        if amount < 0:
            raise ValueError(f"{self._metric.name} can only grow")
        self._metric.at(labels)[0] += amount


class _Gauge:
    def __init__(self, metric: _Metric) -> None:
        self._metric = metric

    def set(self, value: float, *labels: str) -> None:
        self._metric.at(labels)[0] = value


class _Histogram:
    def __init__(self, metric: _Metric) -> None:
        self._metric = metric

    def observe(self, value: float, *labels: str) -> None:
        numbers = self._metric.at(labels)
        numbers[bisect_left(self._metric.buckets, value)] += 1
        numbers[-1] += value
