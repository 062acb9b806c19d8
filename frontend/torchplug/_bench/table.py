"""The comparison as a table of text: a row per measurement, a column per engine, ratios to a reference."""

from __future__ import annotations

from collections.abc import Sequence

from torchplug._bench.runner import Row

__all__ = ["render", "shown", "spread"]

_SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def shown(figure: float | None, unit: str) -> str:
    """Returns a figure with its unit, in three digits."""
    if figure is None:
        return "-"
    if unit == "seconds":
        scale, name = next(((scale, name) for scale, name in _SCALES if figure >= scale), _SCALES[-1])
        return f"{figure / scale:.3g} {name}"
    if unit == "bytes":
        return f"{figure / 2**20:.0f} MB"
    return f"{figure:.3g} {unit}"


def spread(row: Row, name: str) -> str:
    """Returns half the distance between the quartiles in percent of the figure: "±3%"; nothing for a single figure."""
    if name not in row.spreads or not row.figures[name]:
        return ""
    low, high = row.spreads[name]
    return f"±{50 * (high - low) / row.figures[name]:.0f}%"


def render(rows: Sequence[Row], names: Sequence[str], reference: str | None) -> str:
    """Returns the table: figures with their spread; with a reference also the ratio to it (below 1 is less)."""
    lines = [["benchmark", *names]]
    for row in rows:
        base = row.figures.get(reference or "")
        cells = [" ".join((row.name, *row.parameters))]
        for name in names:
            figure = row.figures.get(name)
            text = " ".join(part for part in (shown(figure, row.unit), spread(row, name)) if part)
            if figure is not None and base and name != reference:
                text += f" ({figure / base:.2f})"
            cells.append(text)
        lines.append(cells)
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
