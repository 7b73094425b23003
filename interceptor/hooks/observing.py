"""What an observer hears about one execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

if TYPE_CHECKING:
    from interceptor.hooks.statement import Execution

__all__ = ["Completion", "Failure", "Observer"]


class Completion(msgspec.Struct, frozen=True, gc=False):
    """An execution that went well."""

    tag: str
    """The command tag, such as ``INSERT 0 1``; of several statements the last one's; empty for an empty query and for a
    FunctionCall; ``PORTAL SUSPENDED`` if the client took a part of the rows and no more."""
    rows: int
    """DataRow messages, or CopyData messages that the server sent; of several statements all together."""
    size: int
    """Bytes of them, headers included."""
    seconds: float
    """From the execution's decision until its last answer."""
    first: float
    """Until its first answer; that to Parse and Bind doesn't count."""
    by: Literal["backend", "plugin"]
    target: str = ""
    """The target that it ran on, where it ran on one."""
    plugin: str = ""
    """The plugin that answered it, where one did."""
    reason: str = ""
    """Why, by that plugin's plan (``Plan.reason``)."""


class Failure(msgspec.Struct, frozen=True, gc=False):
    """An execution that ended with an error, by PostgreSQL, by a plugin, or by the proxy.

    One that never ran (an error came before it, its portal was never executed, the client left) has failed with
    57014, by the proxy.
    """

    sqlstate: str
    message: str
    seconds: float
    by: Literal["backend", "plugin", "proxy"]
    target: str = ""
    retried: bool = False
    """It is being run once more (``Route.retry``): another end follows."""
    plugin: str = ""
    """The plugin that refused it, or whose answer it was, where it is by one."""
    reason: str = ""
    """Why, by that plugin's plan (``Plan.reason``)."""


class Observer:
    """Override what you want to hear. What is not overridden costs nothing. All methods are plain functions.

    An execution is a Query with all its statements, a FunctionCall, or a Bind with all Executes of its portal. For each
    that was started, exactly one of ``finished`` and ``failed`` is called last; ``failed`` with
    ``retried`` set is not the last. An exception in one is contained, counted, and changes nothing for the client.
    """

    __slots__ = ()

    shared: ClassVar[bool] = False
    """What the hook ``observe`` gave for a text does for all texts that differ from it in the values of constants
    alone, for nothing decided what it is but ``Statement.facts`` and ``Statement.canonical``. Then the hook is asked
    once for all of them. What is run is told by ``Execution.statement``."""

    def started(self, execution: Execution) -> None:
        """The decision is made, and nothing has been sent yet."""

    def described(self, execution: Execution, description: bytes) -> None:
        """The body of the RowDescription message, where the client asked for one with this execution."""

    def received(self, execution: Execution, rows: bytes) -> None:
        """Whole DataRow messages, one or more, before they go to the client. Keeping them keeps their memory.

        A row of more than 1 MB is counted (``Completion.rows``), and not shown.
        """

    def finished(self, execution: Execution, completion: Completion) -> None:
        """It went well. Called before the client is told."""

    def failed(self, execution: Execution, failure: Failure) -> None:
        """It did not. Called before the client is told."""
