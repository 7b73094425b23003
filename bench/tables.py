"""The tables and pictures of the pgbench comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.plot import Series, bars
from bench.report import markdown_table
from bench.runs import PerQuery, Run
from bench.summary import Summary
from bench.targets import Target

__all__ = ["Comparison"]

_ABSENT = "–"
# What this project holds itself to; docs/performance.md says it in words.
_RATIO_BUDGET = 0.80
_PROCESSOR_BUDGET_US = 16.0
_LATENCY_BUDGET = 1.10
DISTURBED = 0.15  # of all processors: with so much going to others, a budget is neither kept nor missed


def _tps(run: Run) -> float:
    return run.tps


def _latency(run: Run) -> float:
    return run.latency_ms


def _others(run: Run) -> float:
    return run.others


def _pooler(run: Run) -> PerQuery | None:
    return run.pooler


def _postgresql(run: Run) -> PerQuery | None:
    return run.postgresql


def _figure(value: float | None, pattern: str = "{:.0f}") -> str:
    return _ABSENT if value is None else pattern.format(value)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured, ready to be shown."""

    summary: Summary
    targets: Sequence[Target]
    modes: Sequence[str]
    clients: Sequence[int]

    def markdown(self) -> str:
        """All tables, each under its heading."""
        return "\n\n".join(
            f"### {title}\n\n{text}"
            for title, text in (
                ("Budgets", self.budgets()),
                ("Throughput", self.throughput()),
                ("Processor time per query", self.processor()),
                ("Latency", self.latency()),
            )
        )

    def throughput(self) -> str:
        """Transactions per second of each target, and its ratios to PgBouncer and to PostgreSQL."""
        poolers = [target for target in self.targets if target.pid is not None]
        compared = [
            (target, base)
            for target in poolers
            for base in self.targets
            if base.name in ("pgbouncer", "direct") and base is not target
        ]
        header = ["mode", "clients", *(target.label for target in self.targets)]
        header += [f"{target.label} / {base.label}" for target, base in compared]
        rows = []
        for mode, clients in self._cells():
            row = [mode, str(clients)]
            row += [_figure(self.summary.middle(target.name, mode, clients, _tps)) for target in self.targets]
            for target, base in compared:
                ratio = self.summary.ratio(target.name, base.name, mode, clients, _tps)
                row.append(_ABSENT if ratio is None else f"{ratio} ({ratio.least:.2f}–{ratio.greatest:.2f})")
            rows.append(row)
        note = (
            "Transactions per second, medians of the rounds; ratios are medians of each round's own (least–greatest)."
        )
        return f"{markdown_table(header, rows)}\n\n{note}"

    def processor(self) -> str:
        """Microseconds of processor time per query, the pooler's and that of the PostgreSQL behind it."""
        header = ["mode", "clients"]
        for target in self.targets:
            if target.pid is not None:
                header += [f"{target.label}, µs", "of it in the kernel"]
        header += [f"PostgreSQL behind {target.label}" if target.pid else "PostgreSQL" for target in self.targets]
        rows = []
        for mode, clients in self._cells():
            row = [mode, str(clients)]
            for target in self.targets:
                if target.pid is not None:
                    spent = self.summary.spent(target.name, mode, clients, _pooler)
                    row += [
                        _figure(spent.total if spent else None, "{:.1f}"),
                        _figure(spent.system if spent else None, "{:.1f}"),
                    ]
            for target in self.targets:
                behind = self.summary.spent(target.name, mode, clients, _postgresql)
                row.append(_ABSENT if behind is None else f"{behind.total:.1f}")
            rows.append(row)
        note = "User and kernel time of all processes of each without that of the log-ins, divided by the transactions."
        return f"{markdown_table(header, rows)}\n\n{note}"

    def latency(self) -> str:
        """Average latency of each target, and at one client what each pooler adds."""
        poolers = [target for target in self.targets if target.pid is not None]
        header = ["mode", "clients", *(f"{target.label}, ms" for target in self.targets)]
        header += [f"{target.label} adds" for target in poolers]
        rows = []
        for mode, clients in self._cells():
            row = [mode, str(clients)]
            averages = (self.summary.middle(target.name, mode, clients, _latency) for target in self.targets)
            row += [_figure(average, "{:.3f}") for average in averages]
            for target in poolers:
                added = self.summary.added(target.name, "direct", mode, clients, _latency) if clients == 1 else None
                row.append(_figure(added, "{:+.3f}"))
            rows.append(row)
        note = "Average milliseconds from a query to its answer. With more clients than cores, it is mostly waiting."
        return f"{markdown_table(header, rows)}\n\n{note}"

    def budgets(self) -> str:
        """What this project promises itself, and whether these runs kept it."""
        rows = [row for mode in self.modes for row in self._budgets_of(mode)]
        if not rows:
            return "Nothing that a budget speaks of was measured: that needs all three targets, at 1 and 16 clients."
        return markdown_table(["what", "mode, clients", "Interceptor", "PgBouncer", "budget", ""], rows, words=2)

    def _budgets_of(self, mode: str) -> Iterator[list[str]]:
        ratio = self.summary.ratio("proxy", "pgbouncer", mode, 16, _tps)
        if ratio is not None:
            verdict = self._verdict(ratio.middle >= _RATIO_BUDGET, mode, 16)
            yield ["throughput / PgBouncer", f"{mode}, 16", str(ratio), "1", f"≥ {_RATIO_BUDGET:.2f}", verdict]
        spent = self.summary.spent("proxy", mode, 16, _pooler)
        if spent is not None:
            theirs = self.summary.spent("pgbouncer", mode, 16, _pooler)
            verdict = self._verdict(spent.total <= _PROCESSOR_BUDGET_US, mode, 16)
            compared = _ABSENT if theirs is None else f"{theirs.total:.1f} µs"
            budget = f"≤ {_PROCESSOR_BUDGET_US:.0f} µs"
            yield ["processor time per query", f"{mode}, 16", f"{spent.total:.1f} µs", compared, budget, verdict]
        ours = self.summary.added("proxy", "direct", mode, 1, _latency)
        least = self.summary.added("pgbouncer", "direct", mode, 1, _latency)
        if ours is not None and least is not None:
            limit = least * _LATENCY_BUDGET
            figures = [f"{figure * 1000:+.0f} µs" for figure in (ours, least)]
            verdict = self._verdict(ours <= limit, mode, 1)
            yield ["added latency", f"{mode}, 1", *figures, f"≤ {limit * 1000:+.0f} µs", verdict]

    def _verdict(self, kept: bool, mode: str, clients: int) -> str:
        """Whether a budget was kept, if others left the machine alone enough to tell."""
        shares = [self.summary.middle(target.name, mode, clients, _others) or 0.0 for target in self.targets]
        if max(shares) > DISTURBED:
            return "undecided"
        return "kept" if kept else "**missed**"

    def pictures(self) -> dict[str, str]:
        """SVG pictures by name."""
        cells = list(self._cells())
        groups = [(mode, f"{clients} client{'s' if clients > 1 else ''}") for mode, clients in cells]
        throughput = [
            Series(target.label, [self.summary.middle(target.name, *cell, _tps) for cell in cells])
            for target in self.targets
        ]
        processor = []
        for target in self.targets:
            if target.pid is not None:
                spent = [self.summary.spent(target.name, *cell, _pooler) for cell in cells]
                processor.append(Series(target.label, [one.total if one else None for one in spent]))
        pictures = {"throughput": bars("pgbench -S: transactions per second", groups, throughput, "tps")}
        if processor:
            title = "Processor time of the pooler per query"
            pictures["processor"] = bars(title, groups, processor, "µs")
        return pictures

    def _cells(self) -> Iterator[tuple[str, int]]:
        for mode in self.modes:
            for clients in self.clients:
                yield mode, clients
