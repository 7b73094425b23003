"""Metrics of plugins: what they are called, what is counted, and how it is written."""

from __future__ import annotations

import pytest

from pooler.plugins.metrics import MAX_LABEL_SETS, MetricsRegistry


def test_all_kinds_are_written_as_prometheus_reads_them() -> None:
    registry = MetricsRegistry()
    metrics = registry.of("one")
    counter = metrics.counter("hits_total", "Hits,\nand more.", ["table"])
    counter.add(1, 'a"b\\c\n')
    counter.add(2.5, 'a"b\\c\n')
    metrics.gauge("size_bytes", "Size.").set(7)
    histogram = metrics.histogram("age_seconds", "Age.", [0.1, 1])
    for value in (0.1, 0.5, 0.6, 3):
        histogram.observe(value)
    assert registry.render().splitlines() == [
        "# HELP interceptor_age_seconds Age.",
        "# TYPE interceptor_age_seconds histogram",
        'interceptor_age_seconds_bucket{le="0.1"} 1.0',
        'interceptor_age_seconds_bucket{le="1.0"} 3.0',
        'interceptor_age_seconds_bucket{le="+Inf"} 4.0',
        "interceptor_age_seconds_count 4.0",
        "interceptor_age_seconds_sum 4.2",
        "# HELP interceptor_hits_total Hits,\\nand more.",
        "# TYPE interceptor_hits_total counter",
        'interceptor_hits_total{table="a\\"b\\\\c\\n"} 3.5',
        "# HELP interceptor_size_bytes Size.",
        "# TYPE interceptor_size_bytes gauge",
        "interceptor_size_bytes 7.0",
    ]


def test_a_metric_is_the_same_after_a_reload() -> None:
    registry = MetricsRegistry()
    registry.of("one").counter("hits_total", "Hits.").add()
    registry.of("one").counter("hits_total", "Hits, in other words.").add()
    assert "interceptor_hits_total 2.0" in registry.render()


@pytest.mark.parametrize("plugin", ["one", "two"])
def test_a_name_has_one_shape_and_one_owner(plugin: str) -> None:
    registry = MetricsRegistry()
    registry.of("one").counter("hits_total", "Hits.")
    with pytest.raises(ValueError, match="of the plugin one"):
        registry.of(plugin).counter("hits_total", "Hits.", ["table"] if plugin == "one" else ())


@pytest.mark.parametrize("name", ["Hits_total", "hits-total", "", "_total", "hits"])
def test_a_counter_needs_a_proper_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"name"):
        MetricsRegistry().of("one").counter(name, "Hits.")


def test_other_mistakes_are_errors() -> None:
    metrics = MetricsRegistry().of("one")
    counter = metrics.counter("hits_total", "Hits.", ["table"])
    with pytest.raises(ValueError, match="1 labels, and was given 2"):
        counter.add(1, "a", "b")
    with pytest.raises(ValueError, match="only grow"):
        counter.add(-1, "a")
    with pytest.raises(ValueError, match="rising"):
        metrics.histogram("age_seconds", "Age.", [2, 1])
    with pytest.raises(ValueError, match="label"):
        metrics.gauge("size_bytes", "Size.", ["a b"])


def test_labels_that_never_end_are_counted_as_other() -> None:
    registry = MetricsRegistry()
    counter = registry.of("one").counter("hits_total", "Hits.", ["table"])
    for number in range(MAX_LABEL_SETS + 50):
        counter.add(1, f"t{number}")
    counter.add(1, "t0")
    lines = [line for line in registry.render().splitlines() if not line.startswith("#")]
    assert len(lines) == MAX_LABEL_SETS + 1
    assert 'interceptor_hits_total{table="t0"} 2.0' in lines
    assert 'interceptor_hits_total{table="other"} 50.0' in lines
