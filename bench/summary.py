"""From single runs to a cell of a table: medians over the turns, and ratios within a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.runs import PerQuery, Run

__all__ = ["Ratio", "Summary", "percentile"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median of ratios, each taken within one turn, and the least and greatest of them."""

    middle: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.middle:.2f}"


class Summary:
    """All runs of one benchmark, looked up by target, mode and number of clients."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._cells: dict[tuple[str, str, int], list[Run]] = {}
        for run in runs:
            self._cells.setdefault((run.target, run.mode, run.clients), []).append(run)

    def runs(self, target: str, mode: str, clients: int) -> list[Run]:
        """The runs of one cell, by turn; empty if there was none or each failed."""
        return self._cells.get((target, mode, clients), [])

    def middle(self, target: str, mode: str, clients: int, figure: Callable[[Run], float | None]) -> float | None:
        """The median of a figure over the turns, or None if there is none."""
        figures = [value for run in self.runs(target, mode, clients) if (value := figure(run)) is not None]
        return median(figures) if figures else None

    def spent(self, target: str, mode: str, clients: int, process: Callable[[Run], PerQuery | None]) -> PerQuery | None:
        """Median processor time per query of a process, in microseconds."""
        spent = [one for run in self.runs(target, mode, clients) if (one := process(run)) is not None]
        if not spent:
            return None
        return PerQuery(median(one.total for one in spent), median(one.system for one in spent))

    def ratio(self, target: str, base: str, mode: str, clients: int, figure: Callable[[Run], float]) -> Ratio | None:
        """``target`` divided by ``base``, turn by turn, so that what slows the whole machine hits both."""
        bases = {run.turn: figure(run) for run in self.runs(base, mode, clients)}
        ratios = [figure(run) / bases[run.turn] for run in self.runs(target, mode, clients) if bases.get(run.turn)]
        return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None

    def added(self, target: str, base: str, mode: str, clients: int, figure: Callable[[Run], float]) -> float | None:
        """What ``target`` adds to ``base``: the median of the differences within a turn."""
        bases = {run.turn: figure(run) for run in self.runs(base, mode, clients)}
        differences = [figure(run) - bases[run.turn] for run in self.runs(target, mode, clients) if run.turn in bases]
        return median(differences) if differences else None

    def others(self) -> tuple[float, float]:
        """The least and the greatest share of the processors that others used during a run."""
        shares = [run.others for runs in self._cells.values() for run in runs]
        return (min(shares), max(shares)) if shares else (0.0, 0.0)


def percentile(ordered: Sequence[int], share: float) -> float:
    """The figure below which ``share`` (0 to 1) of an ordered, non-empty sequence lies, without interpolation."""
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
