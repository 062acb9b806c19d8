"""The level of a backend as a badge: a small SVG picture for a README."""

from __future__ import annotations

from html import escape

from torchplug_conformance.report import level_in_words

__all__ = ["badge"]

LABEL = "torchplug"

COLOURS = {0: "#a4262c", 1: "#9a5b00", 2: "#6b6b00", 3: "#2d7331", 4: "#0f6a8b"}
"""Level -> background; white text on each has a contrast of at least 4.5 to 1 (WCAG 2.1, AA)."""

LETTER = 6.6
"""Width of an average letter of Verdana at 11 pixels; `textLength` makes other fonts fit."""

HEIGHT = 20
MARGIN = 6


def badge(level: int) -> str:
    """Returns an SVG picture that says the level: "torchplug | level 2: trains"."""
    value = level_in_words(level)
    left, right = _width(LABEL), _width(value)
    title = escape(f"{LABEL} conformance: {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}" role="img"'
        f' aria-label="{title}">\n'
        f"<title>{title}</title>\n"
        f'<clipPath id="round"><rect width="{left + right}" height="{HEIGHT}" rx="3"/></clipPath>\n'
        f'<g clip-path="url(#round)">'
        f'<rect width="{left}" height="{HEIGHT}" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="{HEIGHT}" fill="{COLOURS[level]}"/></g>\n'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(LABEL, 0, left)}{_text(value, left, right)}</g>\n"
        "</svg>\n"
    )


def _width(text: str) -> int:
    return round(len(text) * LETTER) + 2 * MARGIN


def _text(text: str, start: int, width: int) -> str:
    return f'<text x="{start + MARGIN}" y="14" textLength="{width - 2 * MARGIN}">{escape(text)}</text>'
