"""Which trace a statement belongs to."""

from __future__ import annotations

import pytest

from interceptor_traces.parents import Parent, parent_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("comment", "sampled"),
    [
        (f"/*traceparent='00-{TRACE}-{SPAN}-01'*/", True),
        (f"/* route='%2Fx', traceparent='00-{TRACE}-{SPAN}-00' */", False),
        (f"-- traceparent = '00%2D{TRACE}%2D{SPAN}%2D03'", True),
    ],
)
def test_a_comment_of_sqlcommenter_is_read(comment: str, sampled: bool) -> None:
    assert parent_of(["/* nothing */", comment]) == Parent(int(TRACE, 16), int(SPAN, 16), sampled)


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "/*traceparent=''*/",
        f"/*traceparent='00-{TRACE}-{SPAN}'*/",
        f"/*traceparent='00-{'0' * 32}-{SPAN}-01'*/",
        f"/*traceparent='00-{TRACE}-{'0' * 16}-01'*/",
        f"/*traceparent='ff-{TRACE}-{SPAN}-01'*/",
        f"/*traceparent='00-{TRACE.upper()}-{SPAN}-01'*/",
        f"/*traceparent='{'0' * 5000}'*/",
        "/*traceparent='%'*/",
    ],
)
def test_what_is_no_traceparent_is_none(comment: str) -> None:
    assert parent_of([comment]) is None
