"""Samples as a text in Prometheus' format.

Written here and not by prometheus-client: with hundreds of pools a text has thousands of lines, and clients must not
wait while they are made. So it comes piece by piece, and each costs a tenth. Tests read it with prometheus-client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf, isnan
from typing import Final

from pooler.metrics.samples import Sample

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_ESCAPES_OF_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def render(samples: Iterable[Sample]) -> Iterator[str]:
    """The lines, those of a sample at once. No two samples have the same name and values."""
    families: dict[str, list[Sample]] = {}
    for sample in samples:
        families.setdefault(sample.name, []).append(sample)
    for name in sorted(families):
        first = families[name][0]
        yield f"# HELP {name} {first.help.translate(_ESCAPES_OF_HELP)}\n# TYPE {name} {first.kind}\n"
        for sample in families[name]:
            yield _of_histogram(sample) if sample.kind == "histogram" else _of_number(sample)


def _of_number(sample: Sample) -> str:
    labels = _labels(sample.labels, sample.values)
    return f"{sample.name}{f'{{{labels}}}' if labels else ''} {_number(sample.numbers[0])}\n"


def _of_histogram(sample: Sample) -> str:
    name, labels = sample.name, _labels(sample.labels, sample.values)
    first, braced = (f"{labels}," if labels else ""), (f"{{{labels}}}" if labels else "")
    lines: list[str] = []
    count = 0.0
    # The last number is the sum; the one before is of what lies beyond all buckets.
    for bound, number in zip((*sample.buckets, inf), sample.numbers, strict=False):
        count += number
        lines.append(f'{name}_bucket{{{first}le="{_number(bound)}"}} {_number(count)}\n')
    lines.append(f"{name}_count{braced} {_number(count)}\n")
    lines.append(f"{name}_sum{braced} {_number(sample.numbers[-1])}\n")
    return "".join(lines)


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True))


def _number(value: float) -> str:
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if isnan(value) else repr(float(value))
