"""Batches of which no plugin wants anything: they are forwarded as the slice that they came in.

To find that out costs a look at each message's header, and one dictionary hit for each text. Whatever is not as simple
as that is left to ``deciding``: a name that is given or taken away, an answer of ours that is still open, a text that
nobody has been asked about yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.observing import ENDS, end_of_observed
from interceptor.session.outdated import forget_passing, is_passing_outdated
from interceptor.sql.effects import NONE, WRITES

if TYPE_CHECKING:
    from interceptor.session.interception import Interception

__all__ = ["end_of_unwanted"]

_PARSE: Final = messages.PARSE
_BIND: Final = messages.BIND
_DESCRIBE: Final = messages.DESCRIBE
_EXECUTE: Final = messages.EXECUTE
_CLOSE: Final = messages.CLOSE
_SYNC: Final = messages.SYNC
_FLUSH: Final = messages.FLUSH
_QUERY: Final = messages.QUERY
_STATEMENT: Final = ord("S")


def end_of_unwanted(interception: Interception, data: bytes, position: int) -> int:
    """Where the whole batches from ``position`` on end of which nobody wants anything; ``position`` if there are none.

    They count as looked at: the caller acts on them at once, before anything else is heard of. Nothing of the data may
    have been looked at before (``Interception.planned``). It may as well be one batch that is merely observed
    (``Interception.passing``), which the caller acts on when it can.
    """
    if interception.passing is not None:
        if not is_passing_outdated(interception.passing):
            return position + interception.passing.batch_size
        forget_passing(interception)
    table = interception.facts.table
    if table is None or table.stale or not _all_is_plain(interception):
        return position
    get = table.get
    effects_of = interception.session.effects_of
    size = len(data)
    begin = end = position
    parsed: bytes | None = None
    """The unnamed statement, if this batch has made it."""
    ran: bytes | None = None
    """The last text that is run; ``calm`` if it surely leaves to what follows the meaning that this has now."""
    calm: bytes | None = None
    texts: list[bytes] = []
    noted = 0
    while size - position >= 5:
        kind, length = unpack_header(data, position)
        after = position + 1 + length
        if after > size or length < 4:
            break
        if kind == _SYNC:
            end, noted, parsed = after, len(texts), None
        elif kind == _DESCRIBE:
            if data[position + 5] == _STATEMENT:
                name = data[position + 6 : after - 1]
                if (_text_of(interception, name) if name else parsed) is None:
                    break
        elif kind == _CLOSE:
            if data[position + 5] == _STATEMENT:
                break
        elif kind != _EXECUTE and kind != _FLUSH:
            if ran is not calm:
                assert ran is not None
                effects = effects_of(ran)
                if effects is not NONE and effects is not WRITES:
                    break
                calm = ran
            if kind == _PARSE:
                text_end = data.find(0, position + 6, after)
                if data[position + 5] or text_end < 0:
                    break
                sql = parsed = data[position + 6 : text_end]
            elif kind == _BIND:
                if data[position + 5 : position + 7] == b"\0\0":
                    bound = parsed
                else:
                    bound = _text_of_bind(interception, data, position, after, parsed)
                if bound is None:
                    break
                sql = ran = bound
                texts.append(sql)
            elif kind == _QUERY and position == end:
                sql = ran = data[position + 5 : after - 1]
                texts.append(sql)
            else:
                break
            if sql is not parsed or kind == _PARSE:
                effects = effects_of(sql)
                if effects is not NONE and effects is not WRITES and (effects.uncovers or effects.may_rename):
                    # Others have to know first; or perhaps only nothing is known yet of what it calls.
                    break
                found = get(sql)
                if found is None:
                    found = table.find(sql)
                if found is not False:
                    if found is not None and position == begin:
                        return end_of_observed(interception, found, data, position, after)
                    break
            if kind == _QUERY:
                end, noted = after, len(texts)
            elif kind == _BIND and data[after:] in ENDS:
                end, noted = size, len(texts)
                break
        position = after
    if noted and not interception.session.follows:
        for text in texts[:noted]:
            interception.note_text(text)
    return end


def _all_is_plain(interception: Interception) -> bool:
    """Whether a statement or portal is what the client says it is, unless a name tells otherwise."""
    known, executions, transaction = interception.known, interception.executions, interception.facts.transaction
    if (
        interception.session.belongings.doubt is not None
        or transaction.implicit
        or interception.portals
        or interception.rewritten_portals
        or executions.runs
        or executions.tracks
        or executions.has_conditions
        or transaction.has_callbacks
    ):
        return False
    if known.unnamed:
        if any([one.sent is not one.body for one in known.unnamed]):
            return False
        # Which one it is, is asked of the session before anything rests on it (``settle_unnamed``).
        known.unnamed = ()
        known.by_name.pop(b"", None)
    return True


def _text_of(interception: Interception, name: bytes) -> bytes | None:
    """The text of a named statement; None if that needs a closer look."""
    known = interception.known.by_name.get(name)
    session = interception.session
    if known is None or known.sent is not known.body or (session.backend is not None and session.backend.changes):
        return None
    if session.named is None:
        return known.sql if session.registry is None else None
    return known.sql if name in session.named.by_name else None


def _text_of_bind(
    interception: Interception, data: bytes, position: int, end: int, parsed: bytes | None
) -> bytes | None:
    """The text that a Bind is to; None if that needs a closer look."""
    portal_end = data.find(0, position + 5, end)
    name_end = data.find(0, portal_end + 1, end)
    if portal_end < 0 or name_end < 0:
        return None
    if name_end == portal_end + 1:
        return parsed
    return _text_of(interception, data[portal_end + 1 : name_end])
