"""One number, or one histogram, with its name and labels, on its way from the process that counted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

if TYPE_CHECKING:
    from pooler.node import Row

__all__ = ["OTHER", "Kind", "Merge", "Sample"]

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max"]

OTHER: Final = "other"
"""The value of labels of which there are too many."""


@dataclass(slots=True)
class Sample:
    """``numbers`` is one number; of a histogram a count for each bucket, that of what lies beyond, and the sum."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    numbers: list[float]
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"

    def add(self, other: Sample) -> None:
        """Put the same of another process to it."""
        if self.merge == "max":
            self.numbers = [max(pair) for pair in zip(self.numbers, other.numbers, strict=True)]
        else:
            self.numbers = [sum(pair) for pair in zip(self.numbers, other.numbers, strict=True)]

    def as_row(self) -> Row:
        """As it goes from process to process."""
        labels, values, buckets = list(self.labels), list(self.values), list(self.buckets)
        return cast("Row", [self.name, self.kind, self.help, labels, values, list(self.numbers), buckets, self.merge])

    @classmethod
    def from_row(cls, row: Row) -> Sample:
        """Undo ``as_row``."""
        name, kind, help_, labels, values, numbers, buckets, merge = row
        return cls(
            cast("str", name),
            cast("Kind", kind),
            cast("str", help_),
            tuple(cast("list[str]", labels)),
            tuple(cast("list[str]", values)),
            list(cast("list[float]", numbers)),
            tuple(cast("list[float]", buckets)),
            cast("Merge", merge),
        )
