"""What a client has nothing in takes no memory of its own, and nobody writes into what is everybody's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interceptor.session.lacking import nothing, own
from tests.support.conversations import BOUND, PARSED
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import RESULT, SYNC, bind, complete, execute, parse, query, ready, row

OBSERVES = """
class Ends(Observer):
    def finished(self, execution, completion):
        pass

@hookimpl
def observe(statement, session):
    return Ends()
"""


@pytest.mark.parametrize(
    "write",
    [
        lambda shared: shared.__setitem__(1, 2),
        lambda shared: shared.setdefault(1, 2),
        lambda shared: shared.update({1: 2}),
        lambda shared: shared.__ior__({1: 2}),
    ],
)
def test_nothing_is_never_written_to(write: Callable[[dict[int, int]], object]) -> None:
    shared: dict[int, int] = nothing()
    with pytest.raises(AssertionError):
        write(shared)
    assert shared == {}
    mine = own(shared)
    write(mine)
    assert mine == {1: 2}
    assert own(mine) is mine
    assert own(shared) == {}


def test_a_client_at_rest_has_no_dict_of_its_own(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    for sent, answer in [
        (query("select 1"), RESULT + ready()),
        (parse("select 1") + bind() + execute() + SYNC, PARSED + BOUND + row() + complete() + ready()),
        (query("select 1"), RESULT + ready()),
    ]:
        recorder.from_client(sent)
        recorder.from_backend(answer)
    interception = recorder.interception
    everybodys: dict[bytes, bytes] = nothing()
    owners: list[object] = [interception, interception.executions, recorder.client.named, interception.known]
    for owner in owners:
        for name in getattr(type(owner), "__slots__", ()):
            value = getattr(owner, name)
            assert not isinstance(value, dict) or value is everybodys, name
