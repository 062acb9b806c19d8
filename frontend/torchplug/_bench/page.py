"""The comparison as one HTML file that needs nothing else: tables, and charts drawn by matplotlib."""

from __future__ import annotations

import html
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torchplug._bench.runner import BenchError, Row
from torchplug._bench.table import shown, spread

__all__ = ["write_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { font-weight: 600; } table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .9rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
td small { color: #777; } td b { font-weight: 600; } .faster { color: #11733a; } .slower { color: #a3320b; }
svg { max-width: 100%; height: auto; } dl { display: grid; grid-template-columns: max-content auto; gap: 0 1.5rem; }
dt { color: #777; } dd { margin: 0; }
"""


def write_page(
    path: str, rows: Sequence[Row], names: Sequence[str], reference: str | None, facts: Mapping[str, str]
) -> None:
    """Writes the page. Raises BenchError without matplotlib, which draws the charts."""
    groups = [(name, list(group)) for name, group in itertools.groupby(rows, key=lambda row: row.name)]
    parts = [_section(name, group, names, reference) for name, group in groups]
    listed = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in facts.items())
    note = f"Ratios are to {reference}: below 1 is less." if reference else ""
    text = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>torchplug bench</title><style>{_STYLE}</style>"
        f"</head><body><h1>Engines compared</h1><dl>{listed}</dl>"
        f"<p>Medians of interleaved rounds, with half the distance of the quartiles. {note}</p>{''.join(parts)}</body></html>\n"
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _section(name: str, rows: Sequence[Row], names: Sequence[str], reference: str | None) -> str:
    columns = [column for column in names if any(column in row.figures for row in rows)]
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><td>{html.escape(' '.join(row.parameters)) or '&nbsp;'}</td>"
        + "".join(f"<td>{_cell(row, column, reference)}</td>" for column in columns)
        + "</tr>"
        for row in rows
    )
    chart = _chart(rows, columns) if columns else ""
    return f"<h2>{html.escape(name)}</h2>{chart}<table><tr><th></th>{head}</tr>{body}</table>"


def _cell(row: Row, column: str, reference: str | None) -> str:
    if column not in row.figures:
        return "-"
    text = f"{shown(row.figures[column], row.unit)} <small>{spread(row, column)}</small>"
    base = row.figures.get(reference or "")
    if not base or column == reference:
        return text
    ratio = row.figures[column] / base
    return f"{text} <b class='{'faster' if ratio <= 1 else 'slower'}'>{ratio:.2f}</b>"


def _chart(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Returns a chart as SVG text: lines over a number where the only parameter is one, else bars."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BenchError('--html draws its charts with matplotlib; `pip install "torchplug[plot]"` brings it') from None
    lines = len(rows) > 2 and all(len(row.parameters) == 1 and row.parameters[0].isdigit() for row in rows)
    figure = Figure(figsize=(9, 3.2 if lines else 0.6 + 0.16 * len(rows) * len(columns) + 0.12 * len(rows)))
    axes = figure.add_subplot()
    (_lines if lines else _bars)(axes, rows, columns)
    axes.set_xscale("log")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", drawn.getvalue(), count=1, flags=re.DOTALL)


def _lines(axes: Any, rows: Sequence[Row], columns: Sequence[str]) -> None:
    for column in columns:
        points = [(int(row.parameters[0]), row.figures[column]) for row in rows if column in row.figures]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1.2, label=column)
    axes.set_yscale("log")
    axes.set_ylabel(rows[0].unit)
    axes.set_xlabel(" ".join(rows[0].meaning))


def _bars(axes: Any, rows: Sequence[Row], columns: Sequence[str]) -> None:
    height = 0.8 / len(columns)
    for number, column in enumerate(columns):
        places = [place + number * height for place, row in enumerate(rows) if column in row.figures]
        axes.barh(places, [row.figures[column] for row in rows if column in row.figures], height * 0.9, label=column)
    axes.set_yticks(
        [place + 0.4 - height / 2 for place in range(len(rows))], [" ".join(row.parameters) for row in rows]
    )
    axes.invert_yaxis()
    axes.set_xlabel(rows[0].unit)
    axes.tick_params(labelsize=8)
