"""A conformance report as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from torchplug_conformance.badge import badge
from torchplug_conformance.cases import LEVELS, PARTS
from torchplug_conformance.report import OUTCOMES

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; --line: #8886; --faint: #8882; --bad: #c0392b; --good: #2d8a3e; --known: #b07d00; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); }
th { text-align: left; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: flex; width: 12rem; height: .8rem; background: var(--faint); }
.passed { background: var(--good); } .failed { background: var(--bad); } .known, .provisional { background: var(--known); }
details { border: 1px solid var(--line); border-radius: 4px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; overflow-wrap: anywhere; } details details { border-width: 0 0 0 3px; border-radius: 0; }
pre { background: var(--faint); padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; } dd { margin: 0; }
"""


def page(report: Mapping[str, Any]) -> str:
    """Returns the page of a report, given what `Report.as_json` returns or what was read from its JSON file."""
    title = escape(f"torchplug conformance of {report['backend']}")
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            *([] if report["selection"] or report["stopped"] else [badge(report["level"])]),
            f"<p>{escape(report['verdict'])}</p>",
            *_parts(report["parts"]),
            *_failures(report["failures"]),
            *_provisional(report["provisional_failures"]),
            *_known(report["known_failures"]),
            *_goals(report["goals"]),
            *_facts(report),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _parts(parts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield "<h2>Parts</h2>\n<table>"
    yield "<tr><th>level</th><th>part</th><th>passed</th><th>failed</th><th>known</th><th>provisional</th><th></th></tr>"
    for part, row in parts.items():
        level = PARTS[part]
        cells = "".join(f'<td class="number">{row[outcome]}</td>' for outcome in OUTCOMES)
        yield f"<tr><td>{level} {LEVELS[level]}</td><td>{escape(part)}</td>{cells}<td>{_bar(row)}</td></tr>"
    yield "</table>"


def _bar(row: Mapping[str, int]) -> str:
    pieces = "".join(f'<span class="{name}" style="flex: {count}"></span>' for name, count in row.items() if count)
    return f'<div class="bar">{pieces}</div>'


def _provisional(failures: list[Mapping[str, Any]]) -> Iterator[str]:
    if failures:
        yield "<h2>Provisional: of cases that are new, without cost before the next minor version</h2>"
        yield from _failures(failures)


def _goals(goals: list[Mapping[str, Any]]) -> Iterator[str]:
    if goals:
        yield "<h2>Goals</h2>\n<table>"
        for goal in goals:
            numbers = f"{goal['measured']} / {goal['threshold']}"
            what = escape(goal["what"]) + ("" if goal["met"] else " (missed)")
            yield f'<tr><td>goal {goal["number"]}</td><td class="number">{numbers}</td><td>{what}</td></tr>'
        yield "</table>"


def _failures(failures: list[Mapping[str, Any]]) -> Iterator[str]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for failure in failures:
        groups.setdefault(failure["cause"], []).append(failure)
    yield f"<h2>Failures: {len(failures)} of {len(groups)} causes</h2>" if failures else "<h2>No failures</h2>"
    for cause, members in groups.items():
        yield f"<details><summary>{len(members)} × {escape(cause)}</summary>"
        for failure in members:
            text = "\n".join([*failure["differences"], "", *failure["reproduce"]])
            yield f"<details><summary>{escape(failure['case'])}</summary><pre>{escape(text)}</pre></details>"
        yield "</details>"


def _known(failures: list[Mapping[str, str]]) -> Iterator[str]:
    if not failures:
        return
    yield f"<h2>Known failures: {len(failures)}</h2>"
    for reason in sorted({failure["reason"] for failure in failures}):
        members = [failure["case"] for failure in failures if failure["reason"] == reason]
        cases = escape("\n".join(members))
        yield f"<details><summary>{len(members)} × {escape(reason)}</summary><pre>{cases}</pre></details>"


def _facts(report: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>This run</h2>\n<dl>"
    facts = {
        "backend": f"{report['backend']} {report['version']}",
        "capabilities": ", ".join(report["capabilities"]) or "none",
        "torchplug": report["torchplug"],
        "Python": report["python"],
        "platform": report["platform"],
        "date": report["date"],
        "time": f"{report['cases']} cases in {report['seconds']} s",
    }
    for name, value in facts.items():
        yield f"<dt>{name}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"
