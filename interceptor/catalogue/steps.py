"""One step: what a function, or an action on a relation, sets off by itself.

`closure` follows the steps. Here PostgreSQL's rules stand: which triggers fire, what a view stands for, what a foreign
key does when rows go. Where a rule depends on what only the server knows (which rows, which plan), all that can happen
is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from interceptor.catalogue.bodies import Body, BodyReader
from interceptor.catalogue.model import (
    FIRST_USER_OID,
    Action,
    Expression,
    Function,
    FunctionKind,
    Kind,
    Relation,
    Rule,
)
from interceptor.catalogue.names import Names, Scope, Unresolved
from interceptor.catalogue.nodes import CallOf, CheckOf, CompareOf, Node, Step, UseOf
from interceptor.catalogue.snapshot import Snapshot
from interceptor.catalogue.variables import variable_types

__all__ = ["OTHER_LANGUAGE", "Steps"]

_VIEWS: Final = frozenset([Kind.VIEW, Kind.MATERIALIZED_VIEW])
_WRITES: Final = frozenset([Action.INSERT, Action.UPDATE])
_CASCADES: Final = "cnd"


OTHER_LANGUAGE: Final = "its language is"
"""How the reason begins for which a function can't be read that has no text."""


class Steps:
    """Finds steps in one snapshot, and remembers them."""

    def __init__(
        self,
        snapshot: Snapshot,
        reader: BodyReader,
        trusted: Callable[[Function], bool] | None = None,
        *,
        key_checks: bool = True,
        compares: bool = False,
        names: Names | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._compares = compares
        self.trusted = trusted
        self._key_checks = key_checks
        self.names = names or Names(snapshot)
        self._reader = reader
        self._known: dict[Node, Step] = {}
        self._bodies: dict[int, Body] = {}

    def step(self, node: Node) -> Step:
        """What the node sets off by itself."""
        known = self._known.get(node)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[node] = Step({}, set(), set())
            if isinstance(node, CallOf):
                self._call(known, node)
            elif isinstance(node, UseOf):
                self._use(known, node)
            elif isinstance(node, CheckOf):
                self._check(known, node)
            else:
                self._comparison(known, node)
        return known

    # --- Functions -----------------------------------------------------------------------------------------------

    def _call(self, step: Step, node: CallOf) -> None:
        snapshot = self.snapshot
        function = snapshot.functions.get(node.function)
        if function is None:
            step.opaque = f"the function with oid {node.function} isn't in the catalogue"
            return
        if self.trusted is not None and self.trusted(function):
            return
        scope = self._inner_scope(function, node.scope)
        self._expression(step, snapshot.argument_defaults(function.oid), node.scope)
        for one in (*function.arguments, function.result):
            self._domain(step, one, scope)
        if function.kind is FunctionKind.AGGREGATE:
            for part in function.parts:
                step.then[CallOf(part, scope)] = None
        elif function.oid >= FIRST_USER_OID:
            self._run(step, function, scope)

    def _run(self, step: Step, function: Function, scope: Scope) -> None:
        body = self.snapshot.sql_body(function.oid)
        if body is not None:
            self._expression(step, body, scope)
            return
        source = self.snapshot.source(function.oid)
        if source is None:
            step.opaque = (
                "its body is too large to be kept"
                if function.oid in self.snapshot.left_out
                else f"{OTHER_LANGUAGE} {function.language}"
            )
            return
        read = self._bodies.get(function.oid)
        if read is None:
            read = self._bodies[function.oid] = self._reader.read(function, source, self.snapshot)
        self._body(step, read, scope)
        if function.language == "plpgsql":
            for one in variable_types(self.snapshot, source.text):
                step.then[CheckOf(one, scope)] = None

    def _inner_scope(self, function: Function, scope: Scope) -> Scope:
        if function.security_definer:
            owner = self.snapshot.roles.get(function.owner)
            scope = scope.with_role("" if owner is None else owner.name)
        for setting in function.settings:
            name, _, value = setting.partition("=")
            if name.lower() == "search_path":
                scope = scope.with_path(value)
        return scope

    def _body(self, step: Step, body: Body, scope: Scope) -> None:
        names = self.names
        step.opaque = step.opaque or body.opaque
        step.session_change = step.session_change or body.session_change
        step.session_values = step.session_values or body.session_values
        for table in body.tables:
            relations = names.relations(scope, table.name, table.schema)
            if isinstance(relations, Unresolved):
                step.unresolved.add(f"{_written(table.name, table.schema)}: {relations.value}")
            else:
                step.then.update(dict.fromkeys(UseOf(one.oid, table.action, scope) for one in relations))
        for use in body.functions:
            local = use.name in body.harmless_calls
            found = names.functions(scope, use.name, use.schema, use.arguments)
            if found is Unresolved.ABSENT:
                # Arguments are counted otherwise where they stand behind WITHIN GROUP or after OUT.
                found = names.functions(scope, use.name, use.schema)
            if isinstance(found, Unresolved):
                step.unresolved.add(f"{_written(use.name, use.schema)}(): {found.value}")
            else:
                step.then.update(dict.fromkeys(CallOf(one.oid, scope, local) for one in found))
        for use in body.operators:
            operators = names.operators(scope, use.name, use.schema)
            if isinstance(operators, Unresolved):
                step.unresolved.add(f"operator {_written(use.name, use.schema)}: {operators.value}")
            else:
                step.then.update(
                    dict.fromkeys(CallOf(one.function, scope) for one in operators if one.oid >= FIRST_USER_OID)
                )
        for use in body.types:
            types = names.types(scope, use.name, use.schema)
            if isinstance(types, Unresolved):
                step.unresolved.add(f"type {_written(use.name, use.schema)}: {types.value}")
            else:
                for one in types:
                    self._domain(step, one.oid, scope)
        for name, schema, column in body.columns:
            relation = names.relation(scope, name, schema)
            if isinstance(relation, Relation):
                step.columns.update((relation.oid, number) for number in self._numbers(relation.oid, column))
        if body.defines:
            step.defines = True
            step.then.update(dict.fromkeys(CallOf(one, scope) for one in self.snapshot.event_triggers))

    def _numbers(self, relation: int, column: str) -> list[int]:
        return [0] if column == "*" else [one.number for one in self.snapshot.columns(relation) if one.name == column]

    # --- Stored expressions --------------------------------------------------------------------------------------

    def _expression(self, step: Step, expression: Expression, scope: Scope) -> None:
        operators = self.snapshot.operators
        step.then.update(dict.fromkeys(CallOf(one, scope) for one in expression.functions))
        for oid in expression.operators:
            operator = operators.get(oid)
            if operator is None:
                step.opaque = step.opaque or f"the operator with oid {oid} isn't in the catalogue"
            else:
                step.then[CallOf(operator.function, scope)] = None
        for one in expression.types:
            self._domain(step, one, scope)
        step.then.update(dict.fromkeys(UseOf(relation, action, scope) for relation, action in expression.relations))
        step.columns |= expression.columns
        step.sequences = step.sequences or expression.sequences
        step.session_values = step.session_values or expression.session_values
        step.opaque = step.opaque or expression.unread

    def _expressions(self, step: Step, expressions: Iterable[Expression], scope: Scope) -> None:
        for expression in expressions:
            self._expression(step, expression, scope)

    # --- Types ---------------------------------------------------------------------------------------------------

    def _domain(self, step: Step, oid: int, scope: Scope) -> None:
        """A value of this type is made. Only domains, and what is made of them, run anything."""
        one = self.snapshot.types.get(oid)
        if one is not None and oid >= FIRST_USER_OID and (one.kind in "dc" or one.element):
            step.then[CheckOf(oid, scope)] = None

    def _check(self, step: Step, node: CheckOf) -> None:
        one = self.snapshot.types[node.type]
        self._expressions(step, self.snapshot.type_checks.get(one.oid, ()), node.scope)
        for inner in (one.base, one.element):
            self._domain(step, inner, node.scope)
        if one.relation:
            for column in self.snapshot.columns(one.relation):
                self._domain(step, column.type, node.scope)

    def _comparable(self, step: Step, oid: int, scope: Scope) -> None:
        """Values of this type are at hand, so that PostgreSQL may compare them."""
        one = self.snapshot.types.get(oid)
        if one is not None and (oid in self.snapshot.comparisons or one.base or one.element or one.relation):
            step.then[CompareOf(oid, scope)] = None

    def _comparison(self, step: Step, node: CompareOf) -> None:
        step.then.update(dict.fromkeys(CallOf(one, node.scope) for one in self.snapshot.comparisons.get(node.type, ())))
        one = self.snapshot.types.get(node.type)
        if one is None:
            return
        for inner in (one.base, one.element):
            self._comparable(step, inner, node.scope)
        if one.relation:
            for column in self.snapshot.columns(one.relation):
                self._comparable(step, column.type, node.scope)

    # --- Relations -----------------------------------------------------------------------------------------------

    def _use(self, step: Step, node: UseOf) -> None:
        snapshot = self.snapshot
        relation = snapshot.relations.get(node.relation)
        if relation is None:
            step.opaque = f"the relation with oid {node.relation} isn't in the catalogue, or is temporary"
            return
        if relation.kind is Kind.FOREIGN_TABLE:
            step.opaque = "it is a foreign table: what reads or writes it is another server, or a program"
        if self._compares and snapshot.comparisons:
            for column in snapshot.columns(relation.oid):
                self._comparable(step, column.type, node.scope)
        self._policies(step, relation, node)
        replaced = self._rules(step, relation, node)
        if relation.kind in _VIEWS:
            self._view(step, relation, node, replaced=replaced)
            return
        self._triggers(step, relation, node)
        if node.action is Action.SELECT:
            self._computed_when_read(step, relation, node.scope)
        elif node.action in _WRITES:
            self._computed_when_written(step, relation, node)
        self._children(step, relation, node)
        self._foreign_keys(step, relation, node)

    def _children(self, step: Step, relation: Relation, node: UseOf) -> None:
        partitioned = relation.kind is Kind.PARTITIONED_TABLE
        if node.action is Action.INSERT and not partitioned:
            return
        actions = [node.action]
        if node.action is Action.UPDATE and partitioned:
            actions += [Action.DELETE, Action.INSERT]  # a row may move to another partition
        for child in self.snapshot.children.get(relation.oid, ()):
            for action in actions:
                # What a partition has for defaults doesn't count when a row comes through its parent.
                step.then[UseOf(child, action, node.scope, node.sets_defaults)] = None

    def _policies(self, step: Step, relation: Relation, node: UseOf) -> None:
        # Whether it holds for this role is not asked: superusers, owners and BYPASSRLS change with SET ROLE.
        if relation.row_security:
            for policy in self.snapshot.policies.get(relation.oid, ()):
                # UPDATE and DELETE read first, and so does INSERT with ON CONFLICT or RETURNING.
                if node.action in policy.actions or Action.SELECT in policy.actions:
                    self._expression(step, policy.expression, node.scope)

    def _rules(self, step: Step, relation: Relation, node: UseOf) -> bool:
        """Whether an unconditional INSTEAD rule stands in for the action."""
        replaced = False
        for rule in self.snapshot.rules.get(relation.oid, ()):
            if rule.action is node.action and not _is_view_rule(rule):
                # Its tree counts OLD and NEW as reads of the relation itself.
                self._expression(step, rule.expression, node.scope)
                replaced = replaced or (rule.instead and not rule.conditional)
        return replaced

    def _view(self, step: Step, relation: Relation, node: UseOf, *, replaced: bool) -> None:
        if relation.kind is Kind.MATERIALIZED_VIEW and node.action is Action.SELECT:
            return  # it has rows of its own; any other action is REFRESH, which reads what it shows
        rule = next((one for one in self.snapshot.rules.get(relation.oid, ()) if _is_view_rule(one)), None)
        if rule is None:
            step.opaque = "its definition isn't in the catalogue"
            return
        shown = rule.expression
        if node.action is Action.SELECT:
            self._expression(step, shown, node.scope)
            return
        self._triggers(step, relation, node)
        if replaced or any(node.action in one.actions for one in self.snapshot.triggers.get(relation.oid, ())):
            self._expression(step, shown, node.scope)  # UPDATE and DELETE find their rows in it
            return
        # Automatically updatable: its one base relation is written, by whatever name the view gives it.
        self._expressions(step, self.snapshot.defaults.get(relation.oid, {}).values(), node.scope)
        self._expression(step, shown, node.scope)
        for base, _ in shown.relations:
            step.then[UseOf(base, node.action, node.scope, node.sets_defaults)] = None

    def _triggers(self, step: Step, relation: Relation, node: UseOf) -> None:
        for trigger in self.snapshot.triggers.get(relation.oid, ()):
            if node.action in trigger.actions:
                self._expression(step, trigger.condition, node.scope)
                step.then[CallOf(trigger.function, node.scope)] = None

    def _computed_when_read(self, step: Step, relation: Relation, scope: Scope) -> None:
        defaults = self.snapshot.defaults.get(relation.oid)
        if defaults:
            for column in self.snapshot.columns(relation.oid):
                if column.generated == "v" and column.number in defaults:
                    self._expression(step, defaults[column.number], scope)

    def _computed_when_written(self, step: Step, relation: Relation, node: UseOf) -> None:
        snapshot, scope = self.snapshot, node.scope
        self._expressions(step, snapshot.checks.get(relation.oid, ()), scope)
        self._expressions(step, snapshot.write_expressions.get(relation.oid, ()), scope)
        for ancestor in snapshot.ancestors(relation.oid):  # a partition checks that the row is its own
            self._expressions(step, snapshot.write_expressions.get(ancestor, ()), scope)
        defaults = snapshot.defaults.get(relation.oid, {})
        sets_defaults = node.sets_defaults or node.action is Action.INSERT
        for column in snapshot.columns(relation.oid):
            self._domain(step, column.type, scope)
            if column.number in defaults and (sets_defaults or column.generated):
                self._expression(step, defaults[column.number], scope)
            if column.identity and sets_defaults:
                step.sequences = True

    def _foreign_keys(self, step: Step, relation: Relation, node: UseOf) -> None:
        snapshot = self.snapshot
        if node.action in _WRITES and self._key_checks:
            for key in snapshot.foreign_keys.get(relation.oid, ()):
                step.then[UseOf(key.referenced, Action.SELECT, self._as_owner(key.referenced, node.scope))] = None
        if node.action in (Action.UPDATE, Action.DELETE):
            for key in snapshot.referenced_by.get(relation.oid, ()):
                scope = self._as_owner(key.relation, node.scope)
                if self._key_checks:
                    step.then[UseOf(key.relation, Action.SELECT, scope)] = None
                rule = key.on_update if node.action is Action.UPDATE else key.on_delete
                if rule in _CASCADES:
                    cascade = node.action if rule == "c" else Action.UPDATE
                    step.then[UseOf(key.relation, cascade, scope, rule == "d")] = None
        elif node.action is Action.TRUNCATE:
            # With CASCADE; without it PostgreSQL refuses.
            for key in snapshot.referenced_by.get(relation.oid, ()):
                step.then[UseOf(key.relation, Action.TRUNCATE, node.scope)] = None

    def _as_owner(self, relation: int, scope: Scope) -> Scope:
        """Foreign keys work with the rights of the table's owner (ri_triggers.c)."""
        found = self.snapshot.relations.get(relation)
        owner = None if found is None else self.snapshot.roles.get(found.owner)
        return scope if owner is None else scope.with_role(owner.name)


_MOST_KNOWN: Final = 20_000  # some 1 KB each


def _is_view_rule(rule: Rule) -> bool:
    return rule.action is Action.SELECT


def _written(name: str, schema: str | None) -> str:
    return name if schema is None else f"{schema}.{name}"
