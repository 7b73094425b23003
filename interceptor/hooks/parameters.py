"""The parameters of one execution: the bytes of a Bind message, and the values that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from interceptor.hooks.decisions import Value
from interceptor.protocol.datatypes import PythonValue, find_type
from interceptor.protocol.values import decode_value, encode_binary

__all__ = ["NO_PARAMETERS", "BoundValue", "ParameterMap", "Parameters", "compose_maps"]

ParameterMap: TypeAlias = tuple[int | Value, ...]
"""Where a rewritten text has its parameters from: numbers of the client's, or values of its own."""


class BoundValue(msgspec.Struct, frozen=True, gc=False):
    """One parameter as it goes into a Bind message. ``data`` is None for NULL; ``format`` 0 is text, 1 binary.

    ``type`` is its OID; 0 where neither the client said it nor the server has described the statement.
    """

    type: int
    format: int
    data: bytes | None

    def value(self) -> PythonValue:
        """What it stands for. Raises ValueError if it can't be read, or its type is not one of the usual ones."""
        return None if self.data is None else decode_value(self.type, self.format, self.data)


class Parameters(Sequence[BoundValue]):
    """Parameters in order. ``$1`` is ``parameters[0]``, and ``parameters.value(1)``."""

    __slots__ = ("_bound",)

    def __init__(self, bound: Sequence[BoundValue] = ()) -> None:
        self._bound: Final = tuple(bound)

    def __len__(self) -> int:
        return len(self._bound)

    def __getitem__(self, index: int) -> BoundValue:  # type: ignore[override]  # slices are of no use to anybody
        return self._bound[index]

    def __iter__(self) -> Iterator[BoundValue]:
        return iter(self._bound)

    def value(self, number: int) -> PythonValue:
        """The value of ``$number``. Raises IndexError if it has none, ValueError if it can't be read."""
        if not 1 <= number <= len(self._bound):
            raise IndexError(f"there is no parameter ${number}, only {len(self._bound)} of them")
        return self._bound[number - 1].value()

    def mapped(self, mapping: ParameterMap | None) -> Parameters:
        """The parameters of a rewritten statement (``Rewrite.parameters``). Raises ValueError, IndexError."""
        if mapping is None:
            return self
        return Parameters([self._bound_to(one) for one in mapping])

    def _bound_to(self, source: int | Value) -> BoundValue:
        if isinstance(source, int):
            if source > len(self._bound):
                raise IndexError(f"there is no parameter ${source}, only {len(self._bound)} of them")
            return self._bound[source - 1]
        reference = find_type(source.type)
        return BoundValue(reference.oid, 1, None if source.value is None else encode_binary(reference, source.value))


NO_PARAMETERS: Final = Parameters()


def compose_maps(first: ParameterMap | None, then: ParameterMap | None) -> ParameterMap | None:
    """The map that does what two do one after the other."""
    if first is None or then is None:
        return then if first is None else first
    return tuple(first[one - 1] if isinstance(one, int) else one for one in then)
