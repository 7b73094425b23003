"""Portals that plugins answer, as the backend knows them: by empty ones of ours that share their fate.

A portal lives as long as PostgreSQL says: up to a ROLLBACK TO a savepoint from before its Bind, SQL's CLOSE, the next
Query where it is the unnamed one, the end of its transaction. To follow all that from outside would be to run
PostgreSQL's part once more. So the backend is given a portal of the same name, a *stand-in*, before anything else is
sent that could end it, and is asked for it (Describe) before the plugin's answer is shown; its error is then the
client's. A batch whose answers are bound and run with nothing sent in between has none of this.

A named portal is bound on the backend at once, where one is linked, for SQL may have given its name to a cursor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.session.prelude import PASSING_NAME, close_passing, nowhere, parse_passing, prelude
from interceptor.session.splice import Outcome, hold
from interceptor.session.states import Request
from interceptor.session.substitutes import Answered, Closed, Opened, Shown, deliver

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception
    from interceptor.session.substitutes import PortalSubstitute

__all__ = ["act_on_portal", "execute_for", "note_bind", "stand_ins_before", "stand_ins_for"]

# It is never run but by FETCH and MOVE, which shall not find a result of no rows where the plugin has some.
_TEXT: Final = (
    b"SELECT pg_catalog.current_setting("
    b"'interceptor: a plugin answers this portal, and SQL''s FETCH and MOVE can''t take rows from it')"
)
_CLOSE_UNNAMED: Final = messages.encode_message(messages.CLOSE, b"P\0")
_PRELUDE: Final = int(Request.PRELUDE)
_CLOSE: Final = int(Request.CLOSE)


def act_on_portal(
    session: ClientSession, backend: BackendSession, interception: Interception, substitute: PortalSubstitute, end: int
) -> Outcome:
    """Act on what is done with a portal that a plugin answers, where a backend is linked."""
    if backend.owed:
        session.wants_flush = True
        return hold(session)
    name, portal = substitute.name, substitute.portal
    standing = interception.standing
    if isinstance(substitute, Closed):
        # The backend's too, whether it is this one's or that of an earlier one.
        interception.substitutes.popleft()
        standing.pop(name, None)
        backend.owed.append(_CLOSE)
        return messages.encode_message(messages.CLOSE, b"P" + name + b"\0"), end
    if not substitute.asked:
        substitute.asked = True
        if isinstance(substitute, Opened):
            if name:
                return _ask(session, backend, stand_ins_for(backend, interception) + _bind(backend, name))
        elif isinstance(substitute, Answered) and substitute.simple:
            # As any Query does, it takes the unnamed portal's place.
            unnamed = standing.pop(b"", None)
            if unnamed is not None and unnamed.stands:
                backend.owed.append(_PRELUDE)
                return _ask(session, backend, _CLOSE_UNNAMED)
        elif portal.stands:
            out = stand_ins_for(backend, interception)
            backend.owed.append(_PRELUDE)
            return _ask(session, backend, out + messages.encode_message(messages.DESCRIBE, b"P" + name + b"\0"))
    interception.substitutes.popleft()
    if isinstance(substitute, Opened):
        portal.stands = bool(name)
        interception.note_standing(name, portal)
        session.write(messages.BIND_COMPLETE_MESSAGE)
    elif isinstance(substitute, Shown):
        session.write(portal.description)
    else:
        deliver(session, backend, interception, substitute)
    return b"", end


def execute_for(session: ClientSession, backend: BackendSession, interception: Interception) -> Outcome:
    """Let the server know of an Execute that a plugin answered, before a message that breaks into its batch.

    From the first Execute on PostgreSQL holds the batch for a transaction of several statements
    (``start_xact_command``), and a Query or FunctionCall in it does not end that.
    """
    if backend.owed:
        session.wants_flush = True
        return hold(session)
    interception.executed_here = False
    return _ask(session, backend, stand_ins_for(backend, interception) + prelude(backend, b"SELECT"))


def _ask(session: ClientSession, backend: BackendSession, out: bytes) -> Outcome:
    """Send this, and come again when it has been answered. Nothing is owed, so nothing else waits to be sent."""
    backend.write(out + messages.FLUSH_MESSAGE)
    return hold(session)


def _bind(backend: BackendSession, name: bytes) -> bytes:
    """What gives the backend a stand-in of this name."""
    out = parse_passing(backend, _TEXT + bytes(3), nowhere(_TEXT))
    backend.owed.append(_PRELUDE)
    out += messages.encode_message(messages.BIND, name + b"\0" + PASSING_NAME + bytes(7))
    return out + close_passing(backend)


def stand_ins_for(backend: BackendSession, interception: Interception) -> bytes:
    """What gives the backend a stand-in for each portal that has none."""
    out = b""
    for name, portal in interception.standing.items():
        if not portal.stands:
            portal.stands = True
            out += _bind(backend, name)
    return out


def stand_ins_before(
    backend: BackendSession, interception: Interception, outcome: Outcome, position: int, owed_before: int
) -> Outcome:
    """Put them in front of a message at ``position`` that has been acted on, with this outcome."""
    owed = backend.owed
    if len(owed) == owed_before or all([portal.stands for portal in interception.standing.values()]):
        return outcome
    mine = [owed.pop() for _ in range(len(owed) - owed_before)]
    first = stand_ins_for(backend, interception)
    owed.extend(reversed(mine))
    if outcome is None:
        return first, position
    return first + outcome[0], outcome[1]


def note_bind(interception: Interception, bind: bytes) -> None:
    """This Bind is about to be sent: its portal is the backend's own from then on."""
    interception.standing.pop(bind[5 : bind.find(0, 5)], None)
