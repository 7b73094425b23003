"""Tables, sections of a page, pictures, and the command that a section names."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report
from bench.plot import Series, bars
from bench.report import command_line, markdown_table, running_as, write_section

SVG = "{http://www.w3.org/2000/svg}"


def test_a_table_is_aligned_in_its_source() -> None:
    table = markdown_table(["name", "n"], [["a", "1"], ["long name", "1000"]])
    assert table.splitlines() == [
        "| name      |    n |",
        "| --------- | ---: |",
        "| a         |    1 |",
        "| long name | 1000 |",
    ]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "DOCS", tmp_path)
    return tmp_path / "performance.md"


def test_a_section_is_replaced_and_the_rest_of_the_page_kept(page: Path) -> None:
    page.write_text("# Title\n\n<!-- bench a: start -->\nold\n<!-- bench a: end -->\n\nBelow.\n")
    write_section("a", r"new \1")
    assert page.read_text() == "# Title\n\n<!-- bench a: start -->\n\nnew \\1\n\n<!-- bench a: end -->\n\nBelow.\n"


def test_a_section_that_the_page_lacks_is_added_once(page: Path) -> None:
    for text in ("first", "second"):
        write_section("b", text)
    assert page.read_text().count("bench b: start") == 1
    assert "second" in page.read_text()
    assert "first" not in page.read_text()


def test_the_command_is_the_scripts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "idle", "--clients", "5"])
    assert command_line("idle") == "python -m bench idle --clients 5"
    monkeypatch.setattr(sys, "argv", ["bench/idle.py", "--clients", "5"])
    assert command_line("idle") == "python -m bench idle --clients 5"
    with running_as("idle"):
        assert command_line("idle") == "python -m bench idle"


def test_a_picture_has_a_bar_for_each_figure_as_high_as_it_says() -> None:
    series = [Series("one & two", [100.0, None]), Series("three", [50.0, 25.0])]
    picture = ElementTree.fromstring(bars("a <title>", [("left", "1"), ("right", "2")], series, "tps"))
    # The background and the two of the legend are rectangles too.
    bar_heights = [float(rectangle.attrib["height"]) for rectangle in picture.iter(f"{SVG}rect")][1:-2]
    assert bar_heights[0] == pytest.approx(2 * bar_heights[1])
    assert bar_heights[1] == pytest.approx(2 * bar_heights[2])
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"a <title>", "one & two", "three", "left", "right", "2", "tps"} <= set(texts)
