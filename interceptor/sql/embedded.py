"""Statements inside the bodies of functions and of DO: SQL, and PL/pgSQL as PostgreSQL's own parser for it reads it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from pglast import parser

from interceptor.sql.expressions import StatementReader, name_of
from interceptor.sql.facts import DefinedObject, Opaque, OpaqueReason, StatementFacts, Via
from interceptor.sql.gathering import MessageReader, TooDeep
from interceptor.sql.parsing import Limits, Node, beyond, parse
from interceptor.sql.scopes import NO_CTES, Scope

__all__ = [
    "Body",
    "language_and_text",
    "read_atomic",
    "read_create_function",
    "read_do",
    "read_plpgsql",
    "read_sql",
    "written_parameters",
    "written_result",
]

_MAX_NESTING = 8  # bodies in bodies

_decode = msgspec.json.Decoder().decode

# The places of PL/pgSQL where the expression is the text of what runs.
_DYNAMIC = {
    "PLpgSQL_stmt_dynexecute": "query",
    "PLpgSQL_stmt_dynfors": "query",
    "PLpgSQL_stmt_return_query": "dynquery",
    "PLpgSQL_stmt_open": "dynquery",
}

# RawParseMode: how the text of an expression is to be read.
_STATEMENT, _TYPE, _EXPRESSION = 0, 1, 2


class Body:
    """What is found in one body. ``nesting`` counts the bodies around it."""

    __slots__ = ("limits", "message", "nesting", "opaque", "runs", "statements", "via")

    def __init__(self, message: MessageReader, via: Via, runs: bool) -> None:
        # Its literals and places are not those of the message.
        self.message = MessageReader(message.limits, message.read)
        self.message.depth = message.depth
        self.message.nesting = message.nesting + 1
        self.message.budget = message.budget
        self.limits = message.limits
        self.via = via
        self.runs = runs
        self.statements: list[StatementFacts] = []
        self.opaque: list[Opaque] = []

    def is_opaque(self, reason: OpaqueReason, detail: str = "") -> None:
        """Note that the body may do more than its statements say."""
        self.opaque.append(Opaque(reason, detail))

    def hand_to(self, reader: StatementReader) -> None:
        """Make the statements nested ones of the one that holds the body."""
        reader.nested.extend(self.statements)
        reader.message.budget = self.message.budget
        reader.reached(self.message.depth)

    def too_deep(self) -> bool:
        """Say whether this body is in too many others."""
        if self.message.nesting <= _MAX_NESTING:
            return False
        self.is_opaque(OpaqueReason.TOO_DEEP, "a body in a body")
        return True

    def read(self, statement: Node, via: Via) -> None:
        """Read one statement, ``{"Kind": …}``."""
        if self.message.budget <= 0:
            self.is_opaque(OpaqueReason.TOO_COMPLEX)
            return
        self.message.budget -= 1
        try:
            self.statements.append(
                self.message.read(self.message, statement, via, self.runs, Scope(None, NO_CTES), NO_CTES, 0, False)
            )
        except TooDeep:
            self.is_opaque(OpaqueReason.TOO_DEEP)


def read_sql(body: Body, text: str, via: Via | None = None) -> None:
    """Read a text of SQL: the body of a function in language SQL, or what EXECUTE runs."""
    if body.too_deep():
        return
    tree = parse(text.encode(), body.limits)
    if isinstance(tree, Opaque):
        body.opaque.append(tree)
        return
    for statement in tree:
        body.read(statement["stmt"], via or body.via)


def read_plpgsql(body: Body, text: str, arguments: str = "", returns: str = "void") -> None:
    """Read a body in PL/pgSQL. ``arguments`` and ``returns`` as CREATE FUNCTION has them; empty where unknown."""
    if body.too_deep():
        return
    refused = beyond(text.encode(), body.limits)
    if refused is not None:
        body.opaque.append(refused)
        return
    tree = _parse_plpgsql(body, text, arguments, returns)
    if tree is not None:
        _walk(body, tree)


def _parse_plpgsql(body: Body, text: str, arguments: str, returns: str) -> Any:
    tag = "$body$"
    while tag in text:
        tag = f"${tag[1:-1]}x$"
    complaint = ""
    names = arguments if arguments.startswith(_DECLARED) else _parameters(arguments, returns, body.limits)
    for result in _results(returns):
        for source in (text, None):
            if source is None:
                source = _with_plain_types(text)
                if source == text:
                    break
            try:
                tree = parser.parse_plpgsql_json(
                    f"CREATE FUNCTION f({names}) RETURNS {result} LANGUAGE plpgsql AS {tag}{source}{tag}"
                )
            except parser.ParseError as error:
                complaint = complaint or str(error.args[0] if error.args else error)
                continue
            if len(tree) > body.limits.tree:
                body.is_opaque(OpaqueReason.TOO_COMPLEX)
                return None
            try:
                return _decode(tree)
            except RecursionError:
                body.is_opaque(OpaqueReason.TOO_DEEP)
                return None
    body.is_opaque(OpaqueReason.BODY, complaint)
    return None


def _results(returns: str) -> tuple[str, ...]:
    """Return the result types to try. Which one matters to RETURN only, and to NEW and OLD."""
    wanted = returns.strip().lower()
    if not wanted:
        return ("record", "SETOF record", "trigger", "void", "event_trigger")
    if wanted in ("trigger", "event_trigger", "void"):
        return (wanted,)
    return ("SETOF record",) if wanted.startswith(("setof ", "table(", "table (")) else ("record",)


_DECLARED = "/**/"  # begins parameters that need no further reading
_MODES = {"FUNC_PARAM_OUT": "OUT ", "FUNC_PARAM_INOUT": "INOUT ", "FUNC_PARAM_TABLE": "OUT "}


def _parameters(arguments: str, returns: str, limits: Limits) -> str:
    """Return the parameters by name, all of a type that libpg_query knows: it has no catalogue to look up others in."""
    if not arguments and not returns.lstrip().lower().startswith("table"):
        return ""
    result = f"RETURNS {returns}" if returns.strip() else ""
    tree = parse(f"CREATE FUNCTION f({arguments}) {result} LANGUAGE sql AS ''".encode(), limits)
    if isinstance(tree, Opaque) or len(tree) != 1 or "CreateFunctionStmt" not in tree[0]["stmt"]:
        return ""
    return written_parameters(tree[0]["stmt"]["CreateFunctionStmt"])


def _declared(parameters: list[Node]) -> str:
    found = []
    for parameter in parameters:
        name = parameter.get("name", "").replace('"', '""')
        found.append(_MODES.get(parameter["mode"], "") + (f'"{name}" record' if name else "record"))
    return _DECLARED + ", ".join(found)


def _with_plain_types(text: str) -> str:
    """Take the schema off the types of variables, which libpg_query refuses: ``r app.orders%ROWTYPE``.

    Only in declarations, between the variable's name and what ends its type; expressions keep theirs.
    """
    try:
        tokens = [token for token in parser.scan(text) if token.name not in ("C_COMMENT", "SQL_COMMENT")]
    except parser.ParseError:
        return text
    out = list(text)
    declaring = in_type = False
    for at, token in enumerate(tokens):
        if token.name == "DECLARE":
            declaring, in_type = True, True
        elif token.name == "BEGIN_P":
            declaring = False
        elif declaring and token.name == "ASCII_59":
            in_type = True
        elif token.name in ("COLON_EQUALS", "DEFAULT", "ASCII_61", "ASCII_40", "FOR", "CURSOR"):
            in_type = False
        elif declaring and in_type and token.name == "ASCII_46" and at > 1:
            start, end = tokens[at - 1].start, token.end + 1
            out[start:end] = " " * (end - start)
    return "".join(out)


def _walk(body: Body, tree: Any) -> None:
    """Find every expression of the tree, whatever holds it, and read it."""
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(reversed(node))
        elif type(node) is dict:
            for key, value in node.items():
                field = _DYNAMIC.get(key)
                if field is not None and field in value:
                    _dynamic(body, value[field]["PLpgSQL_expr"]["query"])
                    stack.append({name: part for name, part in value.items() if name != field})
                elif key == "PLpgSQL_expr":
                    _expression(body, value["query"], value.get("parseMode", _STATEMENT))
                elif type(value) in (dict, list):
                    stack.append(value)


_ASSIGNMENT = re.compile(r"\s*((?:[^'\":=\[\](]|\"[^\"]*\")*?)\s*:?=(.*)", re.DOTALL)


def _expression(body: Body, query: str, mode: int) -> None:
    if mode == _TYPE:
        return
    if mode == _STATEMENT:
        _read_text(body, query, body.via)
    elif mode == _EXPRESSION:
        _read_text(body, "SELECT " + query, body.via)
    else:
        _assignment(body, query)


def _assignment(body: Body, query: str) -> None:
    """``target := expression``, where the target may hold expressions itself: ``a[f(1)] := 2``."""
    found = _ASSIGNMENT.match(query)
    if found is not None:
        _read_text(body, "SELECT " + found.group(2), body.via)
        return
    try:
        tokens = parser.scan(query)
    except parser.ParseError:
        body.is_opaque(OpaqueReason.BODY, query[:80])
        return
    depth = 0
    for token in tokens:
        if token.name in ("ASCII_40", "ASCII_91"):
            depth += 1
        elif token.name in ("ASCII_41", "ASCII_93"):
            depth -= 1
        elif not depth and token.name in ("COLON_EQUALS", "ASCII_61"):
            _read_text(body, "SELECT " + query[: token.start], body.via)
            _read_text(body, "SELECT " + query[token.end + 1 :], body.via)
            return
    body.is_opaque(OpaqueReason.BODY, query[:80])


def _dynamic(body: Body, query: str) -> None:
    """What EXECUTE runs: known if it is a constant."""
    _read_text(body, "SELECT " + query, body.via)
    tree = parse(b"SELECT " + query.encode(), body.limits)
    if not isinstance(tree, Opaque) and len(tree) == 1:
        targets = tree[0]["stmt"].get("SelectStmt", {}).get("targetList", ())
        if len(targets) == 1:
            node = targets[0]["ResTarget"]["val"]
            while "TypeCast" in node:
                node = node["TypeCast"]["arg"]
            constant = node.get("A_Const", {})
            if "sval" in constant:
                read_sql(body, constant["sval"].get("sval", ""), Via.EXECUTE)
                return
    body.is_opaque(OpaqueReason.DYNAMIC_SQL, query.strip()[:80])


def _read_text(body: Body, query: str, via: Via) -> None:
    tree = parse(query.encode(), body.limits)
    if isinstance(tree, Opaque):
        body.is_opaque(OpaqueReason.BODY, f"{query.strip()[:80]}: {tree.detail}")
        return
    for statement in tree:
        body.read(statement["stmt"], via)


def read_do(reader: StatementReader, node: Node) -> None:
    """Read DO."""
    language, text = language_and_text(node["args"])
    reader.subject = language = language or "plpgsql"
    body = Body(reader.message, Via.DO, reader.runs)
    if language != "plpgsql" or text is None:
        body.is_opaque(OpaqueReason.LANGUAGE, language)
    else:
        read_plpgsql(body, text)
    body.hand_to(reader)
    for opaque in body.opaque:
        reader.is_opaque(opaque.reason, opaque.detail)


def read_create_function(reader: StatementReader, node: Node) -> None:
    """Read CREATE FUNCTION or PROCEDURE.

    Its body is stored: what can't be read in it does not make this statement opaque, but whatever calls it.
    """
    is_procedure = node.get("is_procedure", False)
    reader.objects = (DefinedObject("procedure" if is_procedure else "function", name_of(node["funcname"])),)
    if node.get("replace"):
        reader.words.add("or replace")
    parts: list[Node] = [*node.get("parameters", ())]
    if "returnType" in node:
        parts.append({"TypeName": node["returnType"]})
    reader.walk(parts, reader.scope, reader.level)
    for option in node.get("options", ()):
        element = option["DefElem"]
        if element["defname"] in ("security", "volatility", "leakproof", "strict"):
            reader.words.add(_option_word(element))
    body = Body(reader.message, Via.FUNCTION, False)
    if "sql_body" in node:
        read_atomic(body, node["sql_body"])
    else:
        language, text = language_and_text(node.get("options", []))
        reader.subject = language
        if text is not None and language == "sql":
            read_sql(body, text)
        elif text is not None and language == "plpgsql":
            read_plpgsql(body, text, written_parameters(node), written_result(node, is_procedure))
    body.hand_to(reader)


def _option_word(element: Node) -> str:
    name, arg = element["defname"], element.get("arg", {})
    if name == "security":
        return "security definer" if "boolval" in arg.get("Boolean", {}) else "security invoker"
    if name == "volatility":
        word: str = arg["String"]["sval"]
        return word
    return str(name)


def read_atomic(body: Body, sql_body: Node) -> None:
    """Read ``BEGIN ATOMIC … END`` or ``RETURN expression``."""
    stack: list[Node] = [sql_body]
    while stack:
        node = stack.pop()
        if "List" in node:
            stack.extend(reversed([item for item in node["List"].get("items", ()) if item]))
        else:
            body.read(node, body.via)


def written_parameters(node: Node) -> str:
    """Return the parameters of CREATE FUNCTION, as ``read_plpgsql`` wants them."""
    return _declared([item["FunctionParameter"] for item in node.get("parameters", ())])


def written_result(node: Node, is_procedure: bool) -> str:
    """Return the result of CREATE FUNCTION, as ``read_plpgsql`` wants it."""
    if is_procedure:
        return "" if "parameters" in node else "void"
    result = node.get("returnType")
    if result is None:
        return ""
    if result.get("setof"):
        return "SETOF record"
    name: str = result["names"][-1]["String"]["sval"]
    return name if name in ("trigger", "event_trigger", "void") else "record"


def language_and_text(options: list[Node]) -> tuple[str, str | None]:
    """Return language and body of CREATE FUNCTION's or DO's options; no body where it is in a library."""
    language, text = "", None
    for option in options:
        element = option["DefElem"]
        arg = element.get("arg", {})
        if element["defname"] == "language":
            language = arg["String"].get("sval", "").lower()
        elif element["defname"] == "as":
            if "String" in arg:
                text = arg["String"].get("sval", "")
            else:
                items = arg["List"]["items"]
                text = items[0]["String"].get("sval", "") if len(items) == 1 else None
    return language, text
