"""What is read from the text of a tree, and what is admitted to be unread."""

from __future__ import annotations

from interceptor.catalogue.expressions import NOTHING, read_expression
from interceptor.catalogue.model import Action

# As PostgreSQL 18 writes them, shortened.
CALL = "{FUNCEXPR :funcid 1598 :funcresulttype 701 :funcretset false :args <> :location -1}"
COMPARISON = "{OPEXPR :opno 96 :opfuncid 65 :opresulttype 16 :args ({VAR :varno 1 :varattno 1})}"
ROWS = "{ROWCOMPAREEXPR :cmptype 2 :opnos (o 97 664) :opfamilies (o 1976 1994) :largs <>}"
PERMISSION = (
    "{RTEPERMISSIONINFO :relid 16384 :inh true :requiredPerms 6 :checkAsUser 10 "
    ":selectedCols (b 8 9) :insertedCols (b) :updatedCols (b 7)}"
)


def test_nothing_is_in_nothing() -> None:
    assert read_expression(None) is NOTHING
    assert read_expression("<>") is NOTHING


def test_functions_and_operators() -> None:
    found = read_expression(CALL + COMPARISON + ROWS)
    assert found.functions == {1598, 65}
    assert found.operators == {96, 97, 664}
    assert not found.unread


def test_relations_and_columns() -> None:
    found = read_expression(PERMISSION)
    assert found.relations == {(16384, Action.SELECT), (16384, Action.UPDATE)}
    assert found.columns == {(16384, 1), (16384, 2), (16384, 0)}


def test_conversions_sequences_and_values_of_the_session() -> None:
    assert read_expression("{COERCETODOMAIN :arg <> :resulttype 16400 :resulttypmod -1}").types == {16400}
    assert read_expression("{NEXTVALUEEXPR :seqid 16500 :typeId 20}").sequences
    assert read_expression("{SQLVALUEFUNCTION :op 0 :type 1082 :typmod -1}").session_values


def test_a_zero_is_no_object() -> None:
    assert read_expression("{OPEXPR :opno 96 :opfuncid 0 :hashfuncid 0}").functions == set()


def test_a_name_that_looks_like_a_field_is_none() -> None:
    # outToken writes a backslash before spaces and brackets.
    assert read_expression(r"{TARGETENTRY :resname \ :funcid\ 99\  :resno 1}") == NOTHING


def test_what_cannot_be_read_whole_is_said() -> None:
    older = "{QUERY :rtable ({RANGETBLENTRY :relid 16384 :requiredPerms 2 :checkAsUser 0 :selectedCols (b 8)})}"
    assert "older" in read_expression(older).unread
    assert "CALLSTMT" in read_expression("{QUERY :commandType 6 :utilityStmt {CALLSTMT :funccall <>}}").unread
    assert not read_expression("{QUERY :commandType 6 :utilityStmt {NOTIFYSTMT :conditionname c}}").unread
    assert not read_expression("{QUERY :commandType 1 :utilityStmt <> }").unread


def test_what_is_empty_is_one_for_all() -> None:
    empty: frozenset[object] = read_expression(CALL).types
    assert empty is read_expression(COMPARISON).columns
