"""Regular expressions that are searched for in a time that is known beforehand, whatever the expression and the text.

Python's own ``re`` tries one way after the other, and there are expressions with more ways than there is time. Here all
ways are followed at once, and the sets of ways that were met are remembered: the steps grow with the text, not with
what might have been. What can't be searched like that, such as back references, is refused when the file is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Automaton", "BadExpression"]

_MOST_NODES: Final = 2000
_MOST_REPEATS: Final = 200
_MOST_NESTED: Final = 50
_LONGEST_TEXT: Final = 16_384
_MOST_WORK: Final = 5_000  # visits of nodes in one search; some 2 ms
_MOST_REMEMBERED: Final = 5000

Test = Callable[[str], bool]


class BadExpression(ValueError):
    """A regular expression that can't be used. Its text is a sentence for people."""


class _Node:
    """One place of the automaton: a character that is tested, or where the ways part, or a condition."""

    __slots__ = ("condition", "matches", "next", "number", "other", "test")

    def __init__(self, number: int) -> None:
        self.number = number
        self.test: Test | None = None
        self.condition = ""
        self.next: _Node | None = None
        self.other: _Node | None = None
        self.matches = False


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


_CLASSES: Final[dict[str, Test]] = {
    "d": str.isdecimal,
    "w": _is_word,
    "s": str.isspace,
    "D": lambda one: not one.isdecimal(),
    "W": lambda one: not _is_word(one),
    "S": lambda one: not one.isspace(),
}
_LITERAL_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


class _Parser:
    """Builds the automaton of an expression. A piece is its first node, and a list of the ends that are to be tied."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.nodes: list[_Node] = []
        self.folds = False
        self.nested = 0

    def parse(self) -> _Node:
        if self.source.startswith("(?i)"):
            self.folds, self.at = True, 4
        first, ends = self.alternatives()
        if self.at < len(self.source):
            raise self.wrong("unbalanced )")
        last = self.node()
        last.matches = True
        _tie(ends, last)
        return first

    def wrong(self, message: str) -> BadExpression:
        return BadExpression(f"{message}, at character {self.at + 1} of the regular expression")

    def node(self) -> _Node:
        if len(self.nodes) >= _MOST_NODES:
            raise BadExpression(f"the regular expression is too large: more than {_MOST_NODES} places with its repeats")
        made = _Node(len(self.nodes))
        self.nodes.append(made)
        return made

    def peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def alternatives(self) -> _Piece:
        self.nested += 1
        if self.nested > _MOST_NESTED:
            raise self.wrong("groups are nested too deeply")
        first, ends = self.sequence()
        while self.peek() == "|":
            self.at += 1
            other_first, other_ends = self.sequence()
            split = self.node()
            split.next, split.other = first, other_first
            first, ends = split, ends + other_ends
        self.nested -= 1
        return first, ends

    def sequence(self) -> _Piece:
        first = self.node()  # matches nothing: so a sequence is never empty
        ends: _Ends = [(first, "next")]
        while self.peek() not in ("", "|", ")"):
            begin = self.at
            piece = self.atom()
            piece = self.repeated(piece, begin)
            _tie(ends, piece[0])
            ends = piece[1]
        return first, ends

    def atom(self) -> _Piece:
        character = self.peek()
        self.at += 1
        if character == "(":
            return self.group()
        if character in "*+?":
            self.at -= 1
            raise self.wrong("nothing stands before the repeat")
        if character in "^$":
            return self.condition(character)
        if character == ".":
            return self.test(lambda one: True)
        if character == "[":
            return self.test(self.character_class())
        if character == "\\":
            return self.escape()
        return self.literal(character)

    def group(self) -> _Piece:
        if self.source.startswith("?:", self.at):
            self.at += 2
        elif self.peek() == "?":
            raise self.wrong("only (?: and, at the very beginning, (?i) are known")
        piece = self.alternatives()
        if self.peek() != ")":
            raise self.wrong("a ) is missing")
        self.at += 1
        return piece

    def literal(self, character: str) -> _Piece:
        if self.folds:
            folded = character.casefold()
            return self.test(lambda one: one.casefold() == folded)
        return self.test(lambda one: one == character)

    def test(self, test: Test) -> _Piece:
        made = self.node()
        made.test = test
        return made, [(made, "next")]

    def condition(self, condition: str) -> _Piece:
        made = self.node()
        made.condition = condition
        return made, [(made, "next")]

    def escape(self) -> _Piece:
        character = self.peek()
        self.at += 1
        if character in _CLASSES:
            return self.test(_CLASSES[character])
        if character in ("b", "B"):
            return self.condition(character)
        if character in _LITERAL_ESCAPES:
            return self.literal(_LITERAL_ESCAPES[character])
        if not character or character.isalnum():
            self.at -= 1
            raise self.wrong(f"\\{character} is not known here")
        return self.literal(character)

    def character_class(self) -> Test:
        negated = self.peek() == "^"
        self.at += negated
        tests: list[Test] = []
        singles: set[str] = set()
        ranges: list[tuple[str, str]] = []
        first = True
        while (character := self.peek()) != "]" or first:
            first = False
            if not character:
                raise self.wrong("a ] is missing")
            self.at += 1
            if character == "\\":
                character = self.peek()
                self.at += 1
                if character in _CLASSES:
                    tests.append(_CLASSES[character])
                    continue
                character = _LITERAL_ESCAPES.get(character, character)
            if self.peek() == "-" and self.source[self.at + 1 : self.at + 2] not in ("]", ""):
                last = self.source[self.at + 1]
                self.at += 2
                if last < character or last == "\\":
                    raise self.wrong("a range of characters ends before it begins")
                ranges.append((character, last))
            else:
                singles.add(character)
        self.at += 1
        folds = self.folds

        def test(one: str) -> bool:
            found = _among(one, singles, ranges, tests) or (
                folds and (_among(one.lower(), singles, ranges, tests) or _among(one.upper(), singles, ranges, tests))
            )
            return found != negated

        return test

    def repeated(self, piece: _Piece, begin: int) -> _Piece:
        while (character := self.peek()) and character in "*+?{":
            if character == "{":
                bounds = self.bounds()
                if bounds is None:
                    return piece  # a brace like any character, which the next atom reads
                piece = self.times(piece, begin, *bounds)
            else:
                self.at += 1
                piece = self.quantified(piece, character)
            if self.peek() == "?":  # lazy: the same, where only yes or no is asked
                self.at += 1
            begin = -1
        return piece

    def quantified(self, piece: _Piece, quantifier: str) -> _Piece:
        first, ends = piece
        split = self.node()
        split.next = first
        if quantifier == "?":
            return split, [*ends, (split, "other")]
        _tie(ends, split)
        return (split if quantifier == "*" else first), [(split, "other")]

    def bounds(self) -> tuple[int, int | None] | None:
        end = self.source.find("}", self.at)
        low, comma, high = self.source[self.at + 1 : end].partition(",")
        if end < 0 or not low.isdecimal() or (high and not high.isdecimal()):
            raise self.wrong("expected {n}, {n,} or {n,m}; for the character write \\{")
        lower = int(low[:6])
        upper = None if comma and not high else int((high or low)[:6])
        if max(lower, upper or 0) > _MOST_REPEATS or (upper is not None and upper < lower):
            raise self.wrong(f"a repeat is between 0 and {_MOST_REPEATS}")
        self.at = end + 1
        return lower, upper

    def times(self, piece: _Piece, begin: int, lower: int, upper: int | None) -> _Piece:
        """The atom, copied by reading it again as often as it may occur."""
        if begin < 0:
            raise self.wrong("a repeat of a repeat with bounds needs parentheses")
        after = self.at
        first = self.node()
        ends: _Ends = [(first, "next")]
        skipped: _Ends = []
        for index in range(lower if upper is None else upper):
            if index:
                self.at = begin
                piece = self.atom()
            if index >= lower:
                split = self.node()
                split.next = piece[0]
                skipped.append((split, "other"))
                piece = split, piece[1]
            _tie(ends, piece[0])
            ends = piece[1]
        if upper is None:
            if lower:
                self.at = begin
                piece = self.atom()
            star = self.quantified(piece, "*")
            _tie(ends, star[0])
            ends = star[1]
        self.at = after
        return first, ends + skipped


_Ends = list[tuple[_Node, str]]
_Piece = tuple[_Node, _Ends]


def _tie(ends: _Ends, node: _Node) -> None:
    for end, side in ends:
        setattr(end, side, node)


def _among(one: str, singles: set[str], ranges: list[tuple[str, str]], tests: list[Test]) -> bool:
    return one in singles or any(low <= one <= high for low, high in ranges) or any(test(one) for test in tests)


_State = tuple[frozenset[int], bool | None]


class Automaton:
    """One regular expression, ready to be searched for."""

    def __init__(self, source: str) -> None:
        """``(?i)`` at the beginning: letters of either case. Raises BadExpression."""
        self.source: Final = source
        parser = _Parser(source)
        self._first = parser.parse().number
        self._nodes = parser.nodes
        self._steps: dict[tuple[_State, str], tuple[_State, bool, int]] = {}

    def search(self, text: str) -> bool | None:
        """Whether it matches anywhere in the text; None if that takes longer than there is time."""
        if len(text) > _LONGEST_TEXT:
            return None
        state: _State = (frozenset(), None)
        steps = self._steps
        work = 0
        for character in text:
            found = steps.get((state, character))
            if found is None:
                if len(steps) >= _MOST_REMEMBERED:
                    steps.clear()
                found = steps[state, character] = self._step(state, character)
                work += found[2]
                if work > _MOST_WORK:
                    return None
            state, matched, _ = found
            if matched:
                return True
        return self._step(state, "")[1]

    def _step(self, state: _State, character: str) -> tuple[_State, bool, int]:
        """Where a character leads; whether the expression matched before it; and how much work that was."""
        places, before = state
        nodes = self._nodes
        waiting = [*places, self._first]
        seen = set(waiting)
        following = set()
        while waiting:
            node = nodes[waiting.pop()]
            if node.matches:
                return state, True, len(seen)
            if node.test is not None:
                if character and node.test(character) and node.next is not None:
                    following.add(node.next.number)
                continue
            if node.condition and not _holds(node.condition, before, character):
                continue
            for one in (node.next, node.other):
                if one is not None and one.number not in seen:
                    seen.add(one.number)
                    waiting.append(one.number)
        return (frozenset(following), _is_word(character) if character else None), False, len(seen) + len(following)


def _holds(condition: str, before: bool | None, character: str) -> bool:
    """Whether a condition holds between two characters; ``before`` is whether the first is of a word, None: none."""
    if condition == "^":
        return before is None
    if condition == "$":
        return not character
    boundary = bool(before) != (bool(character) and _is_word(character))
    return boundary == (condition == "b")
