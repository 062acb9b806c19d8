"""The report of a conformance run: results per part, the level reached, failures grouped by their cause."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torchplug_conformance.cases import LEVELS, PARTS
from torchplug_conformance.goals import Goal

__all__ = ["OUTCOMES", "Report", "Result", "level_in_words"]

RECORDED_VECTORS = 25
"""How many of PyTorch's recorded numbers a run has to match at least, by goal 9."""

SHOWN_CAUSES = 25
SHOWN_FAILURES = 3
"""Causes, and failures of each, that are printed unless all are asked for; the JSON and HTML reports have every one."""


OUTCOMES = ("passed", "failed", "known", "provisional")


class Result:
    """What came of one case.

    Its outcome is "passed", "failed", "known" (a declared failure that is still there) or "provisional" (the failure of a
    case that is new in this minor version).
    """

    __slots__ = ("differences", "key", "lines", "outcome", "part", "reason", "seconds")

    def __init__(
        self,
        part: str,
        key: str,
        outcome: str,
        differences: Sequence[str] = (),
        lines: Sequence[str] = (),
        reason: str = "",
        seconds: float = 0.0,
    ) -> None:
        self.part = part
        self.key = key
        self.outcome = outcome
        self.differences = list(differences)
        self.lines = list(lines)
        self.reason = reason
        self.seconds = seconds

    def facts(self) -> dict[str, Any]:
        """Returns the result without its duration, in values that can cross to another process."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "seconds"}


class Report:
    """The results of a run of the suite on one backend, up to a level.

    `selection`: the words that chose the cases, if they were not all. `stopped`: whether it ended before its last case.
    """

    def __init__(
        self,
        backend: str,
        asked: int,
        results: Sequence[Result],
        seconds: float,
        selection: str = "",
        stopped: bool = False,
    ) -> None:
        self.backend = backend
        self.asked = asked
        self.results = sorted(results, key=lambda result: (list(PARTS).index(result.part), result.key))
        self.seconds = seconds
        self.selection = selection
        self.stopped = stopped

    @property
    def level(self) -> int:
        """The highest level of which, and of those below, no case failed; 0 if the first has a failure.

        A run that stopped early reaches none: nobody knows what the other cases would have said.
        """
        failed = {PARTS[result.part] for result in self.results if result.outcome == "failed"}
        tested = {PARTS[result.part] for result in self.results}
        reached = 0
        for level in LEVELS:
            if level not in tested or level in failed or self.stopped:
                break
            reached = level
        return reached

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns part -> outcome -> number of cases."""
        table: dict[str, dict[str, int]] = {}
        for result in self.results:
            row = table.setdefault(result.part, dict.fromkeys(OUTCOMES, 0))
            row[result.outcome] += 1
        return table

    def causes(self, outcome: str = "failed") -> dict[str, list[Result]]:
        """Returns failures grouped by what they say, numbers and places apart; the largest group first."""
        groups: dict[str, list[Result]] = {}
        for result in self.results:
            if result.outcome == outcome:
                groups.setdefault(_cause(result.part, result.differences), []).append(result)
        return dict(sorted(groups.items(), key=lambda group: -len(group[1])))

    def lines(self, all_failures: bool = False) -> Iterator[str]:
        """Yields the summary as text: the parts, the failures by cause with what reproduces them, the level."""
        yield f"{'part':14}{'level':>7}{'passed':>9}{'failed':>8}{'known':>7}{'provisional':>13}"
        for part, row in self.counts().items():
            counts = f"{row['passed']:>9}{row['failed']:>8}{row['known']:>7}{row['provisional']:>13}"
            yield f"{part:14}{PARTS[part]:>7}{counts}"
        causes = list(self.causes().items())
        for cause, results in causes if all_failures else causes[:SHOWN_CAUSES]:
            yield from _cause_lines(cause, results, len(results) if all_failures else SHOWN_FAILURES)
        if len(causes) > SHOWN_CAUSES and not all_failures:
            yield f"... and {len(causes) - SHOWN_CAUSES} more causes"
        known = [result for result in self.results if result.outcome == "known"]
        for reason in sorted({result.reason for result in known}):
            yield f"known failure, {sum(result.reason == reason for result in known)} cases: {reason}"
        new = list(self.causes("provisional").items())
        if new:
            yield ""
            yield "provisional: these cases are new, and cost no level before the next minor version"
        for cause, results in new if all_failures else new[:SHOWN_CAUSES]:
            yield from _cause_lines(cause, results, len(results) if all_failures else SHOWN_FAILURES)
        yield ""
        yield from (goal.line() for goal in self.goals())
        yield self.verdict()

    def goals(self) -> list[Goal]:
        """Returns what a run of all cases measures of the project's goals: gradients (1), reproducible numbers (9)."""
        if self.selection or self.stopped:
            return []
        slopes = _by_function(result for result in self.results if result.part == "gradient")
        vectors = [result for result in self.results if result.part in ("streams", "training")]
        resumed = [result for result in self.results if result.key.startswith("files-resume-")]
        measured = [
            (1, "functions and modules with right first and second derivatives", sum(slopes.values()), len(slopes)),
            (9, "recorded PyTorch streams, orders and trainings match", _passed(vectors), RECORDED_VECTORS),
            (9, "resumed trainings equal the uninterrupted ones bit for bit", _passed(resumed), len(resumed)),
        ]
        present = {1: slopes, 9: vectors}
        return [Goal(*goal, on=self.backend) for goal in measured if present[goal[0]]]

    def verdict(self) -> str:
        """Returns the level in a sentence."""
        count = f"{len(self.results)} cases in {self.seconds:.0f} s"
        if self.stopped:
            return f"backend '{self.backend}' has no level: the run stopped before its end, after {count}"
        tested = max(PARTS[result.part] for result in self.results)
        open_end = self.level == tested < max(LEVELS)
        more = f" (levels above {tested} were not tested)" if open_end else ""
        if self.selection:
            more += f", as far as the cases chosen by '{self.selection}' can tell"
        return f"backend '{self.backend}' reaches {level_in_words(self.level)}{more}; {count}"

    def as_json(self) -> dict[str, Any]:
        """Returns the report in values that json can write."""
        return {
            **_environment(self.backend),
            "level": self.level,
            "level_meaning": LEVELS.get(self.level, "nothing yet"),
            "asked_level": self.asked,
            "selection": self.selection,
            "stopped": self.stopped,
            "verdict": self.verdict(),
            "cases": len(self.results),
            "seconds": round(self.seconds, 1),
            "parts": self.counts(),
            "failures": [
                {"case": result.key, "cause": cause, "differences": result.differences, "reproduce": result.lines}
                for cause, results in self.causes().items()
                for result in results
            ],
            "provisional_failures": [
                {"case": result.key, "cause": cause, "differences": result.differences, "reproduce": result.lines}
                for cause, results in self.causes("provisional").items()
                for result in results
            ],
            "goals": [{**goal._asdict(), "met": goal.met} for goal in self.goals()],
            "known_failures": [
                {"case": result.key, "reason": result.reason} for result in self.results if result.outcome == "known"
            ],
        }


def _by_function(results: Iterable[Result]) -> dict[str, bool]:
    """Returns function -> whether none of its cases failed. A case is named by family, function, type and number."""
    found: dict[str, bool] = {}
    for result in results:
        name = re.sub(r"(-(float|complex|bfloat)\d+)?(-\d+)?$", "", result.key)
        found[name] = found.get(name, True) and result.outcome == "passed"
    return found


def _passed(results: Sequence[Result]) -> int:
    return sum(result.outcome == "passed" for result in results)


def level_in_words(level: int) -> str:
    """Returns "level 2: trains", or "below level 1" for 0."""
    return f"level {level}: {LEVELS[level]}" if level else "below level 1"


def _cause_lines(cause: str, results: Sequence[Result], shown: int) -> Iterator[str]:
    yield ""
    yield f"{len(results)} x {cause}"
    for result in results[:shown]:
        yield f"  {result.key}: {result.differences[0]}"
        yield from (f"    {line}" for line in result.lines)
    if len(results) > shown:
        yield f"  ... and {len(results) - shown} more of this cause"


def _environment(backend: str) -> dict[str, Any]:
    from datetime import UTC, datetime

    import torchplug
    from torchplug_spec import registry

    return {
        "backend": backend,
        "version": str(getattr(registry.status(backend), "version", "") or ""),
        "torchplug": torchplug.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "capabilities": sorted(registry.get(backend).capabilities),
    }


def _cause(part: str, differences: Sequence[str]) -> str:
    """Returns what a failure says with numbers, types and places left out."""
    first = differences[0].splitlines()[0] if differences else "failed"
    first = re.sub(r"(b?float|u?int|complex)\d+", "dtype", first)
    first = re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", first)
    first = re.sub(r"\[[#, ]*\]", "[#]", first)
    first = re.sub(r"(got|expected|gives?) (\S*#\S*|nan|-?inf|\(.*?\)|\[.*\])", r"\1 ...", first)
    return f"{part}: {first[:150]}"
