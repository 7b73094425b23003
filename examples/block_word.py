"""Block every statement with one of some words in it, wherever it stands.

    [plugins]
    modules = ["block_word.py"]
    [plugins.block_word]
    words = ["pg_read_file", "dblink"]

To look at the text is simple and can be got round (U&"\\0064blink"): a guard that can't looks at statement.facts.
"""

from __future__ import annotations

import msgspec

from interceptor import Block, PluginContext, SessionClass, Statement, hookimpl, plugin


class Settings(msgspec.Struct, frozen=True):
    words: tuple[str, ...]
    message: str = "this word is not allowed here"


@plugin(version="1.0", config=Settings)
class BlockWord:
    def __init__(self, context: PluginContext[Settings]) -> None:
        self.words = [word.lower() for word in context.config.words]
        self.message = context.config.message

    @hookimpl
    def guard(self, statement: Statement, session: SessionClass) -> Block | None:
        text = statement.text.lower()
        for word in self.words:
            if word in text:
                position = text.index(word) + 1
                return Block("42501", self.message, detail=f'The word is "{word}".', position=position)
        return None
