"""No text makes the analysis raise: statements of the corpus, cut up and put together in other ways."""

from __future__ import annotations

import random

from pglast import parser

from interceptor.sql.bodies import body_facts
from interceptor.sql.canonical import canonical_text
from interceptor.sql.facts import OpaqueReason
from interceptor.sql.hints import hints
from interceptor.sql.parsing import HELPER
from interceptor.sql.statements import analyse_facts
from tests.integration.test_facts import corpus


def words_of(sql: str) -> list[str]:
    return [sql[token.start : token.end + 1] for token in parser.scan(sql)]


def mutant(statements: list[list[str]], generator: random.Random) -> str:
    words = list(generator.choice(statements))
    other = generator.choice(statements)
    place, start = generator.randrange(len(words)), generator.randrange(len(other))
    kind = generator.randrange(4)
    if kind == 0:
        del words[place]
    elif kind == 1:
        words.insert(place, other[start])
    elif kind == 2:
        words[place] = other[start]
    else:
        words[place:place] = other[start : start + generator.randrange(1, 8)]
    return " ".join(words)


def test_mutants_of_the_corpus() -> None:
    generator = random.Random(11)
    sections = ("queries", "writes", "definitions", "others")
    statements = [words_of(line.text) for section in sections for line in corpus(section)]
    parsed = 0
    for _ in range(5000):
        sql = mutant(statements, generator)
        facts = analyse_facts(sql)
        parsed += facts.opaque == ()
        hash(facts)
        canonical_text(sql)
        hints(facts)
        body_facts("plpgsql", f"begin {sql}; end")
    assert parsed > 300


def test_random_bytes() -> None:
    generator = random.Random(12)
    letters = b"select from where ()'\"$;,.*-/=1a\\\x00\xff\xc3\xa9E&u"
    for _ in range(3000):
        sql = bytes(generator.choices(letters, k=generator.randrange(60)))
        analyse_facts(sql)
        canonical_text(sql)


def test_lone_surrogates() -> None:
    """A str that no bytes decode to."""
    assert not analyse_facts("select '\ud800'").opaque


def test_long_texts_in_a_process_that_may_take_its_time() -> None:
    items = ",".join(map(str, range(20_000)))
    assert analyse_facts(f"select a from t where b in ({items})").opaque[0].reason is OpaqueReason.TOO_LONG
    facts = analyse_facts(f"select a from t where b in ({items})", limits=HELPER)
    assert not facts.opaque
    assert facts.statements[0].longest_list == 20_000
    assert analyse_facts("select " + "1," * 500_000 + "1", limits=HELPER).statements[0].kind == "select"
    assert analyse_facts("select " + "(" * 5000 + "1" + ")" * 5000, limits=HELPER).statements[0].kind == "select"
    assert analyse_facts("select " + "1+" * 5000 + "1", limits=HELPER).opaque[0].reason is OpaqueReason.TOO_DEEP
    assert analyse_facts("select " + "+" * 20_000 + "1", limits=HELPER).opaque[0].reason is OpaqueReason.TOO_COMPLEX
