"""`compare`: two runs of a function side by side, and the first place where they part."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from torchplug._core.kind import engine_for
from torchplug.explaining.outcome import Outcome, tried
from torchplug.explaining.recording import GRADIENT, OP, VIEW, WRITE, Event, Trial
from torchplug.explaining.values import Tolerance, Value, Worn

__all__ = ["Comparison", "Difference", "compared"]


class Difference:
    """The first thing that is not the same on two engines.

    `kind`: "value", "dtype", "shape", "alias", "gradient", "error", or "order" where the engines ran different ops. `op`: its
    name, or the name of a result, parameter or argument. `line`: "file:line" of the user's program, "" where there is none.
    `reason`: a sentence. `values`: what each backend has, NumPy arrays of the tensors. `position`: how many ops were the same.
    """

    def __init__(
        self, kind: str, op: str, line: str, reason: str, values: Mapping[str, Any], position: int = 0
    ) -> None:
        self.kind = kind
        self.op = op
        self.line = line
        self.reason = reason
        self.position = position
        self._values = dict(values)

    @property
    def values(self) -> dict[str, Any]:
        return {name: held.array if isinstance(held, Value) else held for name, held in self._values.items()}

    @property
    def source(self) -> str:
        """The text of the line, "" where it cannot be read."""
        path, _, number = self.line.rpartition(":")
        return linecache.getline(path, int(number)).strip() if number.isdigit() else ""

    def __repr__(self) -> str:
        return f"<difference of {self.kind} in {self.op} at {self.line or 'the end'}>"

    def __str__(self) -> str:
        where = f" at {self.line}" if self.line else ""
        lines = [f"{self.kind} of {self.op}{where}, after {self.position} equal ops"]
        if self.source:
            lines.append(f"    {self.source}")
        lines.append(f"  {self.reason}")
        width = max(map(len, self._values), default=0) + 2
        lines += [f"  {name:{width}}{held}" for name, held in self._values.items()]
        return "\n".join(lines)


class Comparison:
    """What `compare` found: true when nothing differs; prints as a report.

    `backends`: the two names. `ops`, `gradients`: how many were the same. `difference`: the first one, or None. `error`: what
    the function raised on both engines alike, or None.
    """

    def __init__(
        self,
        backends: tuple[str, str],
        ops: int,
        gradients: int,
        difference: Difference | None,
        error: Exception | None,
    ) -> None:
        self.backends = backends
        self.ops = ops
        self.gradients = gradients
        self.difference = difference
        self.error = error

    def __bool__(self) -> bool:
        return self.difference is None

    def __repr__(self) -> str:
        first, second = self.backends
        if self.difference is not None:
            return f"{first} and {second} differ, first in the {self.difference}"
        same = f"{first} and {second} agree: {self.ops} ops and {self.gradients} gradients are the same"
        if self.error is not None:
            return f"{same}, then both raise {type(self.error).__name__}: {self.error}"
        return f"{same}, and so are the results"


def compared(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    backends: Sequence[str],
    rtol: float | None,
    atol: float | None,
    gradients: bool,
) -> Comparison:
    """Does what `torchplug.compare` says."""
    first, second = _checked(function, backends, rtol, atol)
    events: list[Event] = []
    known = tried(function, args, first, Trial(events.append), gradients)
    match = _Match((first, second), _segments(events), Tolerance(rtol, atol))
    trial = Trial(match.told)
    match.trial = trial
    found = tried(function, args, second, trial, gradients)
    match.end(known, found)
    return Comparison((first, second), match.ops, match.gradients, match.difference, known.error)


def _checked(function: Any, backends: Any, rtol: Any, atol: Any) -> tuple[str, str]:
    if not callable(function):
        raise TypeError(f"compare() got {type(function).__name__} for the function, expected something to call")
    if not isinstance(backends, (list, tuple)) or len(backends) != 2:
        raise ValueError(f"compare() got backends={backends!r}, expected the names of two, such as ('numpy', 'jax')")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (isinstance(value, (int, float)) and value >= 0):
            raise ValueError(f"compare() got {name}={value!r}, expected a number that is not negative")
    first, second = backends
    if first == second:
        raise ValueError(f"compare() got the backend {first!r} twice, expected two different ones")
    engine_for(first)
    engine_for(second)
    return first, second


Segment = tuple[list[Event], "Event | None"]


def _segments(events: Sequence[Event]) -> Iterator[Segment]:
    """Yields (views and writes, the op or gradient after them); None after the last."""
    between: list[Event] = []
    for event in events:
        if event.everywhere:
            yield between, event
            between = []
        else:
            between.append(event)
    yield between, None


class _Match:
    """Hears the second run and holds it against the first; keeps the first difference."""

    def __init__(self, backends: tuple[str, str], segments: Iterator[Segment], tolerance: Tolerance) -> None:
        self.backends = backends
        self.tolerance = tolerance
        self.difference: Difference | None = None
        self.trial: Trial | None = None
        self.ops = self.gradients = 0
        self._segments = segments
        self._between: list[Event] = []

    def told(self, event: Event) -> None:
        if self.difference is not None:
            return
        if not event.everywhere:
            self._between.append(event)
            return
        before, expected = next(self._segments)
        self._match_between(before)
        if self.difference is None:
            self._match(expected, event)
        if self.difference is not None and self.trial is not None:
            self.trial.listens = False

    def end(self, known: Outcome, found: Outcome) -> None:
        """Compares how the runs ended."""
        if self.difference is None:
            before, expected = next(self._segments)
            self._match_between(before)
            if self.difference is None and (known.error is None) == (found.error is None) and expected is not None:
                self._match(expected, None)
        if self.difference is None:
            self._match_errors(known, found)
        if self.difference is None and known.error is None:
            self._match_outcomes(known, found)

    # ---- events ----------------------------------------------------------------------------------------------------------

    def _match_between(self, before: list[Event]) -> None:
        """Compares views and writes where both engines have the same ones."""
        after, self._between = self._between, []
        pairs = []
        for kind in (VIEW, WRITE):
            ours, theirs = ([e for e in events if e.kind == kind] for events in (before, after))
            if [e.name for e in ours] == [e.name for e in theirs]:
                pairs += [(after.index(b), a, b) for a, b in zip(ours, theirs, strict=True)]
        for _, a, b in sorted(pairs, key=lambda pair: pair[0]):
            if a.kind == WRITE and len(a.outputs) != len(b.outputs):
                a, b = _first_only(a), _first_only(b)
            drifted = self.tolerance.drifted(memory=True)
            worn = drifted if a.kind == WRITE else Worn(_pairs(a, b), drifted.relative)
            for one, other in zip(a.outputs, b.outputs, strict=False):
                reason = self._unlike(one, other, worn)
                if reason is None:
                    self.tolerance.accept(one, other, worn, a.kind)
                else:
                    kind, said = reason
                    if a.kind == WRITE:
                        kind, said = "alias", f"after this write the memory, or a view of it, is another: {said}"
                    self._found(kind, a.name, a.line, said, one, other)
                    return

    def _match(self, a: Event | None, b: Event | None) -> None:
        if a is None or b is None or (a.kind, a.name) != (b.kind, b.name):
            said = [("nothing more" if e is None else f"{_noun(e)} at {e.line}") for e in (a, b)]
            named = a or b
            assert named is not None
            self._found("order", named.name, named.line, "the engines part ways: they run different ops", *said)
            return
        if a.kind == OP:
            self._match_inputs(a, list(zip(a.inputs, b.inputs, strict=False)))
        if self.difference is None:
            worn = Worn(_pairs(a, b), masked=a.kind == OP)
            if a.steps:
                worn.add_noise(_pairs(a, b))
            self._match_outputs(a, b, worn)
        if a.kind == GRADIENT:
            self.gradients += 1
        else:
            self.ops += 1

    def _match_inputs(self, a: Event, pairs: list[tuple[Value, Value]]) -> None:
        """Compares what an op is given: it differs where no op made it, or memory is not shared as it should be."""
        for place, (one, other) in enumerate(pairs):
            reason = self._unlike(one, other, self.tolerance.drifted(gradient=a.steps))
            if reason is None:
                continue
            kind, said = reason
            maker = a.makers[place] if place < len(a.makers) else None
            if maker is not None:
                name, line = maker
                self._found(kind, name, line, f"{said} (seen when `{a.name}` reads it)", one, other)
            else:
                kind = "alias" if kind == "value" else kind
                text = f"input {place} differs though all ops before gave the same, so memory does: {said}"
                self._found(kind, a.name, a.line, text, one, other)
            return

    def _match_outputs(self, a: Event, b: Event, worn: Worn) -> None:
        if len(a.outputs) != len(b.outputs):
            counts = [f"{len(event.outputs)} results" for event in (a, b)]
            kind = "gradient" if a.kind == GRADIENT else "value"
            self._found(kind, a.name, a.line, "one engine returns more than the other", *counts)
            return
        for one, other in zip(a.outputs, b.outputs, strict=True):
            reason = self._unlike(one, other, worn)
            if reason is not None:
                kind, said = reason
                self._found("gradient" if a.kind == GRADIENT else kind, a.name, a.line, said, one, other)
                return
            self.tolerance.accept(one, other, worn, a.kind)

    # ---- the end -----------------------------------------------------------------------------------------------------------

    def _match_errors(self, known: Outcome, found: Outcome) -> None:
        one, other = known.error, found.error
        said = ["no error" if e is None else f"{type(e).__name__}: {e}" for e in (one, other)]
        if type(one) is type(other) and said[0].splitlines()[0] == said[1].splitlines()[0]:
            return
        failed = found if other is not None else known
        op, line = self.trial.failure if self.trial is not None and self.trial.failure else ("", "")
        self._found("error", op or "the function", line or failed.error_line, "the engines fail differently", *said)

    def _match_outcomes(self, known: Outcome, found: Outcome) -> None:
        if known.structure != found.structure:
            self._found("value", "result", "", "the results are built differently", known.structure, found.structure)
            return
        for kind, ours, theirs in (
            (None, known.values, found.values),
            ("gradient", known.gradients, found.gradients),
        ):
            for name in dict.fromkeys((*ours, *theirs)):
                one, other = ours.get(name), theirs.get(name)
                reason = self._unlike(one, other, self.tolerance.drifted(gradient=kind is not None))
                if reason is not None:
                    self._found(kind or reason[0], name, "", reason[1], one, other)
                    return
        for name in known.numbers:
            a, b = known.numbers[name], found.numbers.get(name)
            if not _same_number(a, b):
                self._found("value", name, "", "the results differ", a, b)
                return
        for name in dict.fromkeys((*known.memory, *found.memory)):
            a, b = (f"shares memory with {outcome.memory.get(name, 'nothing')}" for outcome in (known, found))
            if a != b and name in known.memory and name in found.memory:
                self._found("alias", name, "", "the result looks into other memory", a, b)
                return

    # ---- what differs --------------------------------------------------------------------------------------------------------

    def _unlike(self, one: Value | None, other: Value | None, worn: Worn) -> tuple[str, str] | None:
        """Returns how two values differ, None if they do not: (kind, a sentence)."""
        if one is None or other is None:
            return None if one is other else ("value", "only one engine has it")
        if one.dtype is not other.dtype:
            return "dtype", f"{one.dtype} against {other.dtype}"
        if one.shape != other.shape:
            return "shape", f"{list(one.shape)} against {list(other.shape)}"
        wrong = self.tolerance.differing(one, other, worn)
        if not wrong.any():
            return None
        place = _worst(one, other, wrong)
        where = f" at {list(place)}" if place else ""
        return "value", (
            f"{int(wrong.sum())} of {wrong.size} elements differ, most{where}: {one.at(place)!r} against {other.at(place)!r}"
            if wrong.size > 1
            else f"{one.at(place)!r} against {other.at(place)!r}"
        )

    def _found(self, kind: str, op: str, line: str, reason: str, one: Any, other: Any) -> None:
        held = dict(zip(self.backends, (one, other), strict=True))
        self.difference = Difference(kind, op, line, reason, held, self.ops)


def _pairs(a: Event, b: Event) -> list[tuple[Value, Value]]:
    return list(zip(a.inputs, b.inputs, strict=False))


def _first_only(event: Event) -> Event:
    return Event(event.kind, event.name, event.line, event.outputs[:1])


def _noun(event: Event) -> str:
    return f"the gradient of {event.name}" if event.kind == GRADIENT else event.name


def _worst(one: Value, other: Value, wrong: np.ndarray) -> tuple[int, ...]:
    with np.errstate(all="ignore"):
        apart = np.abs(one.wide() - other.wide()) if one.inexact else wrong.astype(np.float64)
    apart = np.where(wrong, np.where(np.isnan(apart), np.inf, apart), -1.0)
    return tuple(int(place) for place in np.unravel_index(int(apart.argmax()), apart.shape))


def _same_number(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-4 * max(abs(a), abs(b), 1e-8) or (a != a and b != b)
    if isinstance(a, (bool, int, str, bytes, type(None), complex)):
        return bool(a == b)
    return type(a) is type(b)  # two runs make two objects; what they hold cannot be told apart in general
