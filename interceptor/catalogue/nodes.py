"""What may happen, as the nodes of a graph, and what each sets off: see ``steps`` and ``closure``."""

from __future__ import annotations

from msgspec import Struct

from interceptor.catalogue.model import Action
from interceptor.catalogue.names import Scope

__all__ = ["CallOf", "CheckOf", "CompareOf", "Node", "Step", "UseOf"]


class CallOf(Struct, frozen=True, gc=False):
    """A function is called."""

    function: int
    scope: Scope
    surely_local: bool = False
    """Its arguments show that it leaves nothing behind."""


class UseOf(Struct, frozen=True, gc=False):
    """Something is done to a relation."""

    relation: int
    action: Action
    scope: Scope
    sets_defaults: bool = False
    """An UPDATE sets columns to their defaults; an INSERT always does."""


class CheckOf(Struct, frozen=True, gc=False):
    """A value is converted to a type: a domain's checks run."""

    type: int
    scope: Scope


class CompareOf(Struct, frozen=True, gc=False):
    """Values of a type are compared, sorted or hashed."""

    type: int
    scope: Scope


Node = CallOf | UseOf | CheckOf | CompareOf


class Step(Struct, gc=False):
    """What one node sets off. Filled while it is found, not changed afterwards."""

    then: dict[Node, None]
    columns: set[tuple[int, int]]
    """Relations and their columns that are read or written; column 0 is the whole row."""
    unresolved: set[str]
    """Names that lead to no object, with the reason."""
    opaque: str = ""
    """Why more may happen than is known."""
    sequences: bool = False
    session_values: bool = False
    defines: bool = False
    session_change: str = ""
