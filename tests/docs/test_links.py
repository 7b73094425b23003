"""Links between the project's own pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(page for top in ("docs", "examples", "plugins") for page in (ROOT / top).rglob("*.md")),
    ]
)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")  # a colon means another host


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing


def test_the_index_lists_every_page() -> None:
    docs = ROOT / "docs"
    linked = {str((docs / link).resolve()) for link in LINK.findall((docs / "README.md").read_text())}
    assert not [str(page) for page in docs.rglob("*.md") if page.name != "README.md" and str(page) not in linked]


def test_the_picture_is_well_formed_and_says_what_it_shows() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "way-of-a-query.svg").getroot()
    texts = {element.tag.rpartition("}")[2] for element in picture}
    assert {"title", "desc"} <= texts
