"""What all processes say, as one: and no counter goes back because a process, a pool or a plugin is gone.

Prometheus takes a counter that goes back for one that began again at 0, and would add all that is left a second time.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from pooler.metrics.families import MAX_LABEL_SETS
from pooler.metrics.rendering import render
from pooler.metrics.samples import OTHER, Sample
from pooler.reports.turns import in_turns

if TYPE_CHECKING:
    from pooler.node import Row

__all__ = ["Continuity"]

_Samples: TypeAlias = "dict[tuple[str, tuple[str, ...]], Sample]"
"""By name and by values of labels."""


class Continuity:
    """Remembers what was seen last. What is counted between the last look and the end of its counter is lost."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._seen: dict[int, _Samples] = {}
        """The counters of each process, as it told them last."""
        self._ended: _Samples = {}
        """What is to be added to what processes say now: counters that are gone, or have begun anew."""
        self._ended_sets: Counter[str] = Counter()

    async def page(self, answers: Iterable[Sequence[Row]]) -> bytes:
        """The text of /metrics, of what each process answered (``collect``). Others get their turns meanwhile."""
        async with self._turn:
            merged: _Samples = {}
            async for _ in in_turns(self._merge(answers, merged)):
                pass
            text = [piece async for pieces in in_turns(render(merged.values())) for piece in pieces]
        # Names come from clients, and may be of bytes that are no UTF-8.
        return "".join(text).encode("utf-8", "backslashreplace")

    def _merge(self, answers: Iterable[Sequence[Row]], merged: _Samples) -> Iterator[None]:
        heard: set[int] = set()
        for head, *rows in answers:
            process = cast("int", head[0])
            heard.add(process)
            counters: _Samples = {}
            for row in rows:
                sample = Sample.from_row(row)
                _put(merged, sample)
                if sample.kind != "gauge":
                    _put(counters, sample)
                yield
            yield from self._keep_what_went(self._seen.get(process, {}), counters)
            self._seen[process] = counters
        for process in self._seen.keys() - heard:
            if _is_alive(process):
                # It is late, not gone: its counters stand still.
                for sample in self._seen[process].values():
                    _put(merged, sample)
                    yield
            else:
                yield from self._keep_what_went(self._seen.pop(process), {})
        for sample in self._ended.values():
            _put(merged, sample)
            yield

    def _keep_what_went(self, before: _Samples, now: _Samples) -> Iterator[None]:
        for key, old in before.items():
            new = now.get(key)
            numbers = [0.0] * len(old.numbers) if new is None else new.numbers
            went = [max(0.0, was - has) for was, has in zip(old.numbers, numbers, strict=True)]
            if any(went):
                self._keep(replace(old, numbers=went))
            yield

    def _keep(self, sample: Sample) -> None:
        key = sample.name, sample.values
        if key not in self._ended:
            if self._ended_sets[sample.name] >= MAX_LABEL_SETS:
                sample.values = (OTHER,) * len(sample.values)
            self._ended_sets[sample.name] += 1
        _put(self._ended, sample)


def _put(samples: _Samples, sample: Sample) -> None:
    there = samples.get((sample.name, sample.values))
    if there is None:
        samples[sample.name, sample.values] = copy(sample)
    else:
        there.add(sample)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
