"""The report as files: a page that needs nothing else, and a picture of the level."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from torchplug_conformance.badge import COLOURS, badge
from torchplug_conformance.page import page
from torchplug_conformance.report import Report, Result
from torchplug_conformance.targets import target_fault, write

LINES = ("from torchplug_conformance import call", "got = call(...)", "print(got)")


def report(*results: Result, selection: str = "", stopped: bool = False) -> Report:
    return Report("numpy", 4, results, 1.5, selection, stopped)


def failed(key: str, difference: str) -> Result:
    return Result("forward", key, "failed", [difference], LINES)


class Links(HTMLParser):
    """Notes the elements that are open at the end, and what makes a browser load something."""

    VOID = {"meta", "br", "rect"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "action")]
        if tag in ("script", "link", "iframe", "img"):
            self.loads.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    html = page(report(failed("a", "off by 1"), Result("dtype", "b", "known", ["x"], LINES, "no scan")).as_json())
    parser = Links()
    parser.feed(html)
    assert (parser.open, parser.loads) == ([], [])
    assert set(re.findall(r"https?://[^\"' ]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "url(http" not in html and "@import" not in html


def test_the_page_has_every_failure_with_the_lines_that_reproduce_it() -> None:
    keys = [f"forward-sum-{number}" for number in range(40)]
    html = page(report(*(failed(key, f"off by {number}") for number, key in enumerate(keys))).as_json())
    assert [key for key in keys if f"<summary>{key}</summary>" not in html] == []
    assert html.count("\n".join(LINES)) == len(keys)
    assert "40 × forward: off by #" in html


def test_what_a_backend_says_is_text_on_the_page() -> None:
    html = page(report(failed("forward-<b>", "raised <script>alert(1)</script> & 'more'")).as_json())
    assert "<script>" not in html
    assert "raised &lt;script&gt;alert(1)&lt;/script&gt; &amp;" in html


def test_the_page_can_be_made_from_the_json_file() -> None:
    content = report(failed("a", "off")).as_json()
    assert page(json.loads(json.dumps(content))) == page(content)


def test_the_page_of_a_run_of_some_cases_shows_no_badge() -> None:
    passed = Result("forward", "a", "passed")
    assert "<svg" in page(report(passed).as_json())
    assert "<svg" not in page(report(passed, selection="sum").as_json())
    assert "<svg" not in page(report(passed, stopped=True).as_json())


@pytest.mark.parametrize(
    ("level", "words"), [(0, "below level 1"), (1, "level 1: computes"), (4, "level 4: identical")]
)
def test_the_badge_is_an_svg_that_says_the_level(level: int, words: str) -> None:
    tree = ElementTree.fromstring(badge(level))
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")] == ["torchplug", words]
    assert words in tree.attrib["aria-label"]


@pytest.mark.parametrize("colour", COLOURS.values())
def test_the_text_of_a_badge_can_be_read(colour: str) -> None:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_all_files_of_a_report_are_written(tmp_path: Path) -> None:
    targets = {kind: str(tmp_path / f"report.{kind}") for kind in ("json", "html", "badge")}
    assert write(report(Result("forward", "a", "passed")), targets) == []
    assert json.loads((tmp_path / "report.json").read_text())["level"] == 1
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert "level 1: computes" in (tmp_path / "report.badge").read_text()


def test_a_file_that_cannot_be_written_is_a_sentence_and_the_others_are_written(tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "report.json"
    faults = write(report(Result("forward", "a", "passed")), {"json": str(gone), "html": str(tmp_path / "x.html")})
    assert faults == [f"cannot write {gone}: No such file or directory"]
    assert (tmp_path / "x.html").exists()


def test_a_run_that_stopped_gets_no_badge(tmp_path: Path) -> None:
    stopped = report(Result("forward", "a", "passed"), stopped=True)
    faults = write(stopped, {"badge": str(tmp_path / "badge.svg")})
    assert faults == [f"no badge in {tmp_path / 'badge.svg'}: the run stopped before its end"]
    assert not (tmp_path / "badge.svg").exists()


def test_one_file_for_two_things_is_refused_before_the_run(tmp_path: Path) -> None:
    target = str(tmp_path / "x")
    assert "it is named for the json and for the html" in target_fault({"json": target, "html": target})
    assert "a badge needs a run of all cases" in target_fault({"badge": target}, "sum")
    assert target_fault({"json": target}, "sum") == ""
    assert not (tmp_path / "x").exists()
