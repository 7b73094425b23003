"""docs/reference/metrics.md names every metric, as it is."""

from __future__ import annotations

import re
from pathlib import Path

from pooler.metrics.families import FAMILIES, SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(interceptor_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", re.MULTILINE)


def test_every_metric_is_described_and_none_is_made_up() -> None:
    assert [row[0] for row in ROW.findall(PAGE)] == list(FAMILIES)


def test_a_metric_is_described_as_it_is() -> None:
    for name, kind, labels, text in ROW.findall(PAGE):
        family = FAMILIES[name]
        assert kind == family.kind, name
        assert tuple(re.findall(r"`(\w+)`", labels)) == family.labels, name
        assert text.startswith(family.help.rstrip(".")), name


def test_the_buckets_are_those_of_the_code() -> None:
    said = re.search(r"The buckets of times end at\s([\d., and]+) seconds", PAGE)
    assert said is not None
    assert tuple(float(number) for number in re.findall(r"\d+(?:\.\d+)?", said[1])) == SECONDS


def test_what_is_proposed_to_be_watched_is_there_with_these_labels() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "watch-metrics.md").read_text()
    named = re.findall(r"(?:by \(([\w, ]+)\) \()?(?:rate\()?\b(interceptor_[a-z_]+?)(_bucket)?(?=[\[{) `])", page)
    assert len(named) > 8
    for labels, name, bucket in named:
        family = FAMILIES[name]
        assert bool(bucket) == (family.kind == "histogram"), name
        assert set(labels.split(", ") if labels else ()) <= {*family.labels, "le"}, name
