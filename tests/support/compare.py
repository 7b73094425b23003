"""The oracle: one stream to PostgreSQL and to an endpoint under test; replies and tables must come out equal.

PostgreSQL goes first. Wherever the script waits, the number of replies that PostgreSQL has given by then is noted, and
the endpoint under test has to give as many before the script goes on there.

What two runs on one PostgreSQL may differ in, and is therefore set aside, is only this:

- the process id in NotificationResponse: each connection has its own;
- process id and key in BackendKeyData: likewise;
- OIDs of tables and types that a stream made itself (``Normaliser``): the counter belongs to the whole server. They are
  numbered in the order of appearance, so that one taken for another still shows.

Order and place of ParameterStatus, NoticeResponse and NotificationResponse are compared. PostgreSQL places them
deterministically: the first and the last right before ReadyForQuery, notices where they arise.
"""

from __future__ import annotations

import difflib
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.support import frontend
from tests.support.backend import Reply, decode_error
from tests.support.login import LoginFailed
from tests.support.script import Ending, Opening, Part, Stream, part
from tests.support.settle import Settler, wait_until_read
from tests.support.sockets import SocketDiagnosis
from tests.support.wire import DEFAULT_TIMEOUT, Endpoint, ReplyTimeout, WireClient
from tests.support.world import World

__all__ = ["Comparison", "Difference", "Normaliser", "Run", "Transcript", "open_conversation", "unequal"]

_FIRST_NORMAL_OID = 16384
_LAST_QUERY = "SELECT 'the end of the stream'"
# A prelude on a connection of its own.
CANCEL = "cancel"
_PRELUDES: dict[str, Callable[[], frontend.Frontend]] = {
    "ssl": frontend.ssl_request,
    "gss": frontend.gssenc_request,
}


class Difference(AssertionError):
    """The endpoint under test did not behave as PostgreSQL does. Its text has the script and both sides."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What came back in one run: at the opening, after it, how many replies at each wait, and whether the server
    hung up before the client said goodbye."""

    opening: list[Reply]
    replies: list[Reply]
    marks: list[int]
    tail: list[Part]
    hung_up: bool
    trouble: str = ""


class Normaliser:
    """Makes equal what two runs may differ in; one for each run, since it numbers OIDs as they appear."""

    def __init__(self) -> None:
        self._oids: dict[int, int] = {}

    def normalise(self, reply: Reply) -> Reply:
        """The reply without what is its run's own. A reply that can't be read stays as it is."""
        try:
            if reply.tag == b"K":
                # The length of the key is the server's choice within a protocol version.
                return Reply(b"K", bytes(4))
            if reply.tag == b"A":
                return Reply(b"A", bytes(4) + reply.body[4:])
            if reply.tag == b"T":
                return Reply(b"T", self._row_description(reply.body))
            if reply.tag == b"t":
                (count,) = struct.unpack_from("!H", reply.body)
                oids = [self._number(oid) for oid in struct.unpack_from(f"!{count}I", reply.body, 2)]
                return Reply(b"t", struct.pack(f"!H{count}I", count, *oids))
        except (struct.error, ValueError):
            return reply
        return reply

    def _number(self, oid: int) -> int:
        if oid < _FIRST_NORMAL_OID:
            return oid
        return self._oids.setdefault(oid, _FIRST_NORMAL_OID + len(self._oids))

    def _row_description(self, body: bytes) -> bytes:
        pieces, at = [body[:2]], 2
        for _ in range(struct.unpack_from("!H", body)[0]):
            end = body.index(b"\0", at) + 1
            table, column, kind, rest = struct.unpack_from("!IhI8s", body, end)
            pieces += [body[at:end], struct.pack("!IhI8s", self._number(table), column, self._number(kind), rest)]
            at = end + 18
        return b"".join([*pieces, body[at:]])


def open_conversation(endpoint: Endpoint, opening: Opening, timeout: float = DEFAULT_TIMEOUT) -> WireClient:
    """Connect as ``opening`` says. Raises LoginFailed, or Difference if an encryption request is not declined."""
    preludes = list(opening.preludes)
    if CANCEL in preludes:
        preludes.remove(CANCEL)
        _cancel_nobody(endpoint, timeout)
    client = WireClient(endpoint.host, endpoint.port, timeout)
    try:
        for prelude in preludes:
            answer = client.ask_for_encryption(_PRELUDES[prelude]())
            if answer != b"N":
                raise Difference(f"{endpoint} answered {answer!r} to a request for encryption; none is set up there.")
        client.log_in(endpoint, version=opening.version, parameters=dict(opening.parameters))
    except BaseException:
        client.close()
        raise
    return client


def _cancel_nobody(endpoint: Endpoint, timeout: float) -> None:
    """Send a CancelRequest with a key that nobody has; the server hangs up without a word."""
    with WireClient(endpoint.host, endpoint.port, timeout) as client:
        client.send(frontend.cancel_request(1, b"none"))
        client.read_to_end()
        if client.bytes_received:
            raise Difference(f"{endpoint} answered a CancelRequest; PostgreSQL never does.")


class Comparison:
    """Compares an endpoint under test with PostgreSQL, stream by stream. Close it, or use ``contextlib.closing``."""

    def __init__(
        self,
        world: World,
        compared: Endpoint,
        *,
        compare_openings: bool = True,
        compare_places: bool = True,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """``compared`` leads to ``world.compared``, directly or not. ``timeout``, in seconds, bounds each wait.

        ``compare_places``: where in its source PostgreSQL refuses a statement of a failed transaction.
        """
        self._world = world
        self._compared = compared
        self._compare_openings = compare_openings
        self._compare_places = compare_places
        self._timeout = timeout
        self._diagnosis = SocketDiagnosis()

    def close(self) -> None:
        """Free what the comparison holds; the world is its owner's."""
        self._diagnosis.close()

    def check(self, stream: Stream) -> None:
        """Run ``stream`` on both sides. Raises Difference."""
        self._world.reset()
        reference = self._rehearse(stream)
        compared = self._perform(stream, reference)
        problem = self._difference(reference, compared, stream)
        # After Terminate nobody tells when the proxy has done with its backend. After a difference the tables are
        # looked at too, if only to know what to reset.
        patience = 0.0 if problem or stream.ending is Ending.TIDY else self._timeout
        tables = self._difference_of_contents(patience)
        if problem or tables:
            raise Difference(f"{problem or tables}\n\n{stream}\n{_tail_text(reference)}")

    # The two runs

    def _rehearse(self, stream: Stream) -> Transcript:
        with open_conversation(self._world.reference, stream.opening, self._timeout) as client:
            run = Run(client, self._diagnosis)
            settler = Settler(client, self._world.control(self._world.reference), self._diagnosis)
            tail: list[Part] = []

            def deliver(each: Part) -> None:
                run.deliver(each)
                if each.wait:
                    settler.settle()
                    run.mark()

            for each in stream.parts:
                deliver(each)
            if stream.ending is Ending.TIDY:
                if stream.parts and not stream.parts[-1].wait:
                    settler.settle()
                for each in _tidy_tail(client):
                    deliver(each)
                    tail.append(each)
            run.end(stream.ending)
            return run.transcript(tail)

    def _perform(self, stream: Stream, reference: Transcript) -> Transcript:
        try:
            opened = open_conversation(self._compared, stream.opening, self._timeout)
        except (LoginFailed, ReplyTimeout) as error:
            raise Difference(
                f"PostgreSQL let the client in, and the endpoint under test: {error}\n\n{stream}"
            ) from error
        with opened as client:
            run, marks = Run(client, self._diagnosis), iter(reference.marks)
            try:
                for each in (*stream.parts, *reference.tail):
                    run.deliver(each)
                    if each.wait and (wanted := next(marks, None)) is not None:
                        client.read_count(run.start + wanted)
                        run.mark()
                if reference.hung_up:
                    client.read_to_end()
                run.end(stream.ending)
            except ReplyTimeout as error:
                run.trouble = str(error)
                client.read_available()
            return run.transcript([])

    # What differs

    def _difference(self, reference: Transcript, compared: Transcript, stream: Stream) -> str:
        if self._compare_openings and (problem := unequal(reference.opening, compared.opening)):
            return f"The openings differ.\n{problem}"
        ours, theirs = reference.replies, compared.replies
        if stream.ending is not Ending.TIDY:
            # After Terminate nobody is owed a reply; what was flushed before is.
            settled = reference.marks[-1] if reference.marks else 0
            ours, theirs = ours[:settled], theirs[:settled]
        if not self._compare_places:
            ours, theirs = [without_place(each) for each in ours], [without_place(each) for each in theirs]
        trouble = f"The endpoint under test fell silent: {compared.trouble}\n" if compared.trouble else ""
        if problem := unequal(ours, theirs):
            return f"{trouble}The replies differ.\n{problem}"
        if compared.hung_up and not reference.hung_up:
            return "The endpoint under test hung up before the script was over; PostgreSQL did not."
        return trouble

    def _difference_of_contents(self, patience: float) -> str:
        """Compare the tables once nobody works for either client any more; up to ``patience`` until they are equal."""
        world, start = self._world, time.monotonic()
        while busy := world.busy(world.reference) + world.busy(world.compared):
            if time.monotonic() > start + self._timeout:
                world.release(busy)
                return f"The clients are gone, and these backends still work: {busy}"
            time.sleep(0.001)
        while (ours := world.contents(world.reference)) != (theirs := world.contents(world.compared)):
            if time.monotonic() > start + patience:
                diff = difflib.unified_diff(ours, theirs, "PostgreSQL", "under test", n=0, lineterm="")
                return "The tables differ.\n" + "\n".join(diff)
            time.sleep(0.001)
        return ""


class Run:
    """One client of a comparison under way."""

    def __init__(self, client: WireClient, diagnosis: SocketDiagnosis) -> None:
        self.start = len(client.replies)
        self.trouble = ""
        self._hung_up = False
        self._client = client
        self._diagnosis = diagnosis
        self._marks: list[int] = []

    def deliver(self, each: Part) -> None:
        """Write the part as it is cut. A peer that has hung up is noted and no error."""
        pieces = each.pieces()
        self._client.sent.extend(each.messages)
        for piece in pieces:
            if self._client.closed:
                return
            self._client.write(piece)
            if len(pieces) > 1 and not self._client.closed:
                wait_until_read(self._client, self._diagnosis)

    def mark(self) -> None:
        """Note how many replies there are."""
        self._marks.append(len(self._client.replies) - self.start)

    def end(self, ending: Ending) -> None:
        """Leave. Raises ReplyTimeout if the peer does not hang up in its turn."""
        self._hung_up = self._client.closed
        if ending is Ending.VANISH:
            self._client.close()
        else:
            self._client.send_goodbye()

    def transcript(self, tail: list[Part]) -> Transcript:
        """All that came."""
        opening, replies = self._client.replies[: self.start], self._client.replies[self.start :]
        return Transcript(opening, replies, self._marks, tail, self._hung_up, self.trouble)


def _tidy_tail(client: WireClient) -> Iterator[Part]:
    """What brings the server to rest from wherever the script left it; looks at ``client`` after each part."""
    if client.closed:
        return
    ready = client.ready_count
    yield part(frontend.sync())
    # A Sync without an answer: it was taken for a part of a COPY FROM STDIN.
    for _ in range(3):
        if client.ready_count > ready or client.closed:
            break
        yield part(frontend.copy_fail("the script is over"), frontend.sync())
    if client.last_status != "I" and not client.closed:
        yield part(frontend.query("ROLLBACK"))
    if not client.closed:
        yield part(frontend.query(_LAST_QUERY))


def _tail_text(reference: Transcript) -> str:
    return "\n".join(["  to finish:", *map(str, reference.tail)]) if reference.tail else ""


def without_place(reply: Reply) -> Reply:
    """An error of a failed transaction, a Bind, or a portal that is gone, without its place in PostgreSQL's source.

    Where a statement has to be prepared on another backend first, that is what is refused, and not its execution. And a
    Bind with another count of values than its text has is refused by the proxy, before a plugin sees it. Whether there
    is a portal that a plugin answers, the server is asked by a Describe.
    """
    if reply.tag == b"E" and decode_error(reply.body).get("C") in ("25P02", "08P01", "34000"):
        fields = [field for field in reply.body.split(b"\0") if field[:1] not in (b"F", b"L", b"R")]
        return Reply(b"E", b"\0".join(fields))
    return reply


def unequal(ours: Sequence[Reply], theirs: Sequence[Reply]) -> str:
    """The differences as text, an empty one if there is none."""
    one, other = Normaliser(), Normaliser()
    left, right = [one.normalise(reply) for reply in ours], [other.normalise(reply) for reply in theirs]
    if left == right:
        return ""
    mine, its = [str(reply) for reply in left], [str(reply) for reply in right]
    if mine == its:
        at = next(at for at in range(len(left)) if left[at] != right[at])
        return f"Reply {at} reads alike and has other bytes:\n- {left[at].body!r}\n+ {right[at].body!r}"
    return "\n".join(difflib.unified_diff(mine, its, "PostgreSQL", "under test", n=4, lineterm=""))
