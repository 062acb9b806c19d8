"""A line search for the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Point", "strong_wolfe"]

DECREASE = 1e-4
CURVATURE = 0.9


class Point:
    """One trial step: its length, and the loss, gradient and slope along the direction there."""

    __slots__ = ("grad", "length", "loss", "slope")

    def __init__(self, length: Any, loss: float, grad: Any, slope: Any) -> None:
        self.length = length
        self.loss = loss
        self.grad = grad
        self.slope = slope


def strong_wolfe(
    evaluate: Callable[[Any], Point], start: Point, length: Any, direction_size: Any, most: int, tolerance: float = 1e-9
) -> tuple[Point, int]:
    """Returns a point of sufficient decrease and small slope, or the best found, and how often `evaluate` was called.

    `start` is the point of length 0; `direction_size` the largest element of the direction; `most` bounds the iterations.
    """
    bracket, used, done = _bracket(evaluate, start, length, most)
    low, high = (bracket[0], bracket[-1]) if bracket[0].loss <= bracket[-1].loss else (bracket[-1], bracket[0])
    calls = used + 1
    stuck = False
    while not done and used < most:
        if abs(high.length - low.length) * direction_size < tolerance:
            break
        first, last = bracket
        length, stuck = _inside(_cubic_minimum(first, last), first.length, last.length, stuck)
        new = evaluate(length)
        calls += 1
        used += 1
        if not _decreases(new, start) or new.loss >= low.loss:
            bracket[bracket.index(high)] = high = new
            low, high = (bracket[0], bracket[1]) if bracket[0].loss <= bracket[1].loss else (bracket[1], bracket[0])
            continue
        if abs(new.slope) <= -CURVATURE * start.slope:
            done = True
        elif new.slope * (high.length - low.length) >= 0:
            bracket[bracket.index(high)] = high = low
            bracket[bracket.index(low)] = new
            low = new
            continue
        bracket[bracket.index(low)] = low = new
    return low, calls


def _decreases(point: Point, start: Point) -> bool:
    return bool(point.loss <= start.loss + DECREASE * point.length * start.slope)


def _bracket(evaluate: Callable[[Any], Point], start: Point, length: Any, most: int) -> tuple[list[Point], int, bool]:
    """Lengthens the step until an interval holds a good one; returns its ends, the iterations, and whether one end will do."""
    previous, point = start, evaluate(length)
    used = 0
    while used < most:
        if not _decreases(point, start) or (used > 1 and point.loss >= previous.loss):
            return [previous, point], used, False
        if abs(point.slope) <= -CURVATURE * start.slope:
            return [point], used, True
        if point.slope >= 0:
            return [previous, point], used, False
        bounds = point.length + 0.01 * (point.length - previous.length), point.length * 10
        length = _cubic_minimum(previous, point, bounds)
        previous, point = point, evaluate(length)
        used += 1
    return [start, point], used, False


def _inside(length: Any, first: Any, last: Any, stuck: bool) -> tuple[Any, bool]:
    """Returns a trial length kept away from the ends of the bracket, and whether it came too near to one of them."""
    left, right = min(first, last), max(first, last)
    margin = 0.1 * (right - left)
    if min(right - length, length - left) >= margin:
        return length, False
    if not stuck and left < length < right:
        return length, True
    return (right - margin if abs(length - right) < abs(length - left) else left + margin), False


def _cubic_minimum(a: Point, b: Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Returns the minimum of the cubic through two points and their slopes, within bounds (the points themselves)."""
    if a.length > b.length:
        a, b = b, a
    shortest, longest = bounds or (a.length, b.length)
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.length - b.length)
    square = d1**2 - a.slope * b.slope
    if square < 0:
        return (shortest + longest) / 2.0
    d2 = square**0.5
    best = b.length - (b.length - a.length) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(best, shortest), longest)
