"""Which relations the names in a query can mean."""

from __future__ import annotations

from interceptor.sql.facts import QualifiedName

__all__ = ["NO_CTES", "Scope"]

NO_CTES: frozenset[str] = frozenset()


class Scope:
    """The FROM clause of one query, within those around it.

    ``items``: for each alias the relations whose columns it has; none for a subquery, a function or a CTE.
    ``relations``: those of this query alone. ``ctes``: the names that are no relations here.
    """

    __slots__ = ("_candidates", "_own", "ctes", "items", "parent", "relations")

    def __init__(self, parent: Scope | None, ctes: frozenset[str]) -> None:
        self.parent = parent
        self.ctes = ctes
        self.items: dict[str, tuple[QualifiedName, ...]] = {}
        self.relations: list[QualifiedName] = []
        self._own: tuple[QualifiedName, ...] | None = None
        self._candidates: tuple[QualifiedName, ...] | None = None

    def add(self, alias: str, name: QualifiedName) -> None:
        """A relation of this query. All are added before the first question."""
        known = self.items.get(alias)
        self.items[alias] = (name,) if known is None else (*known, name)
        self.relations.append(name)

    def own(self) -> tuple[QualifiedName, ...]:
        """Return what ``*`` stands for."""
        found = self._own
        if found is None:
            relations = self.relations
            found = self._own = tuple(relations) if len(relations) < 2 else tuple(dict.fromkeys(relations))
        return found

    def candidates(self) -> tuple[QualifiedName, ...]:
        """Return what a column without a qualifier may belong to: those of this query, then those around it."""
        found = self._candidates
        if found is None:
            found = self.own()
            if self.parent is not None:
                found = tuple(dict.fromkeys([*found, *self.parent.candidates()]))
            self._candidates = found
        return found

    def find(self, alias: str) -> tuple[QualifiedName, ...] | None:
        """Return the relations that an alias has the columns of, and None if there is no such alias."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.items.get(alias)
            if found is not None:
                return found
            scope = scope.parent
        return None
