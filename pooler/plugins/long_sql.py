"""Facts of texts that take too long to analyse in the loop: a helper process does it, while their client waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Final, cast

import msgspec

import pooler
from interceptor.sql.facts import Literal, MessageFacts, OpaqueReason
from pooler.long_sql_worker import ANSWER, LENGTH, QUESTION, opaque_facts
from pooler.tasks import spawn

__all__ = ["LongSql"]

logger = logging.getLogger(__name__)

TIMEOUT: Final = 15.0
"""Seconds that a client waits for the facts, those before it included. Then the text is opaque."""
MAX_KEPT: Final = 16 * 1024 * 1024
"""Bytes of texts and facts that are remembered."""
_IDLE: Final = 60.0
"""Seconds after which a process that is asked nothing ends."""


class LongSql:
    """One process at a time, started when it is first needed. Texts take turns."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: dict[asyncio.subprocess.Process, asyncio.Future[None]] = {}
        self._closed = False
        self._kept: OrderedDict[tuple[bytes, bool], tuple[MessageFacts, int]] = OrderedDict()
        self._bytes = 0

    def known(self, sql: bytes, standard_lexing: bool) -> MessageFacts | None:
        """The facts, if they are remembered."""
        found = self._kept.get((sql, standard_lexing))
        if found is None:
            return None
        self._kept.move_to_end((sql, standard_lexing))
        return found[0]

    async def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        """The facts. Never raises: what ends the process, or takes too long, is opaque."""
        try:
            async with asyncio.timeout(TIMEOUT), self._turn:
                found = self.known(sql, standard_lexing)
                if found is not None:
                    return found
                try:
                    found, memory = await self._ask(sql, standard_lexing)
                except BaseException:
                    # Whatever it still says would be taken for the answer to the next question.
                    self._kill()
                    raise
        except TimeoutError:
            return opaque_facts(sql, OpaqueReason.TOO_COMPLEX, f"not analysed within {TIMEOUT:g} s")
        except (OSError, EOFError) as error:
            logger.warning("the process that analyses long SQL ended: %r", error)
            return opaque_facts(sql, OpaqueReason.TOO_COMPLEX, "its analysis failed")
        self._keep(sql, standard_lexing, found, memory + len(sql))
        return found

    async def close(self) -> None:
        """End the process. Whoever waits gets opaque facts."""
        self._closed = True
        self._kill()
        for ended in list(self._ending.values()):
            await ended

    async def _ask(self, sql: bytes, standard_lexing: bool) -> tuple[MessageFacts, int]:
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(QUESTION.pack(len(sql), standard_lexing))
        process.stdin.write(sql)
        await process.stdin.drain()
        parts, memory = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
        facts: MessageFacts | None = None
        literals: list[Literal] = []
        for _ in range(parts):
            (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            # Each part is small, and between two of them the loop gets its turn.
            part = pickle.loads(await process.stdout.readexactly(size))
            if facts is None:
                facts = cast("MessageFacts", part)
            else:
                literals.extend(cast("tuple[Literal, ...]", part))
            await asyncio.sleep(0)
        assert facts is not None
        return msgspec.structs.replace(facts, literals=tuple(literals)) if literals else facts, memory

    async def _running(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise EOFError("the server stops")
        if self._idle is not None:
            self._idle.cancel()
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "pooler.long_sql_worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # The same code as here, wherever it is installed and whatever lies in the working directory.
                env={**os.environ, "PYTHONPATH": str(Path(pooler.__file__).parents[1])},
            )
        self._idle = asyncio.get_running_loop().call_later(_IDLE, self._on_idle)
        return self._process

    def _on_idle(self) -> None:
        if not self._turn.locked():
            self._kill()

    def _kill(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            self._ending[process] = asyncio.get_running_loop().create_future()
            spawn(self._bury(process), name="end of the process that analyses long SQL")

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
        while await process.stdout.read(64 * 1024):
            pass  # what it had said before its end
        await process.wait()
        self._ending.pop(process).set_result(None)

    def _keep(self, sql: bytes, standard_lexing: bool, facts: MessageFacts, size: int) -> None:
        if size > MAX_KEPT // 4 or (sql, standard_lexing) in self._kept:
            return
        self._kept[sql, standard_lexing] = facts, size
        self._bytes += size
        while self._bytes > MAX_KEPT:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._bytes -= oldest
