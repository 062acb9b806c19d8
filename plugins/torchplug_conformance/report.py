"""The report of a conformance run: results per part, the level reached, failures grouped by their cause."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence
from typing import Any

from torchplug_conformance.cases import LEVELS, PARTS

__all__ = ["Report", "Result"]

SHOWN_CAUSES = 25
"""Causes printed in full; the JSON report has all failures."""


class Result:
    """What came of one case: outcome "passed", "failed" or "known" (a declared failure that is still there)."""

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
    """The results of a run of the suite on one backend, up to a level."""

    def __init__(self, backend: str, asked: int, results: Sequence[Result], seconds: float) -> None:
        self.backend = backend
        self.asked = asked
        self.results = sorted(results, key=lambda result: (list(PARTS).index(result.part), result.key))
        self.seconds = seconds

    @property
    def level(self) -> int:
        """The highest level of which, and of those below, no case failed; 0 if the first has a failure."""
        failed = {PARTS[result.part] for result in self.results if result.outcome == "failed"}
        tested = {PARTS[result.part] for result in self.results}
        reached = 0
        for level in LEVELS:
            if level not in tested or level in failed:
                break
            reached = level
        return reached

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns part -> outcome -> number of cases."""
        table: dict[str, dict[str, int]] = {}
        for result in self.results:
            row = table.setdefault(result.part, {"passed": 0, "failed": 0, "known": 0})
            row[result.outcome] += 1
        return table

    def causes(self) -> dict[str, list[Result]]:
        """Returns failures grouped by what they say, numbers and places apart; the largest group first."""
        groups: dict[str, list[Result]] = {}
        for result in self.results:
            if result.outcome == "failed":
                groups.setdefault(_cause(result.part, result.differences), []).append(result)
        return dict(sorted(groups.items(), key=lambda group: -len(group[1])))

    def lines(self) -> Iterator[str]:
        """Yields the summary as text."""
        yield f"{'part':14}{'level':>7}{'passed':>9}{'failed':>8}{'known':>7}"
        for part, row in self.counts().items():
            yield f"{part:14}{PARTS[part]:>7}{row['passed']:>9}{row['failed']:>8}{row['known']:>7}"
        for cause, results in list(self.causes().items())[:SHOWN_CAUSES]:
            yield ""
            yield f"{len(results)} x {cause}"
            yield f"  {results[0].key}: {results[0].differences[0]}"
            yield from (f"    {line}" for line in results[0].lines)
        if len(self.causes()) > SHOWN_CAUSES:
            yield f"... and {len(self.causes()) - SHOWN_CAUSES} more causes"
        known = [result for result in self.results if result.outcome == "known"]
        for reason in sorted({result.reason for result in known}):
            yield f"known failure, {sum(result.reason == reason for result in known)} cases: {reason}"
        yield ""
        yield self.verdict()

    def verdict(self) -> str:
        """Returns the level in a sentence."""
        count = f"{len(self.results)} cases in {self.seconds:.0f} s"
        reached = f"level {self.level}: {LEVELS[self.level]}" if self.level else "below level 1"
        tested = max(PARTS[result.part] for result in self.results)
        open_end = self.level == tested < max(LEVELS)
        more = f" (levels above {tested} were not tested)" if open_end else ""
        return f"backend '{self.backend}' reaches {reached}{more}; {count}"

    def as_json(self) -> dict[str, Any]:
        """Returns the report in values that json can write."""
        import torchplug
        from torchplug_spec import registry

        status = registry.status(self.backend)
        return {
            "backend": self.backend,
            "version": str(getattr(status, "version", "") or ""),
            "torchplug": torchplug.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "capabilities": sorted(registry.get(self.backend).capabilities),
            "level": self.level,
            "level_meaning": LEVELS.get(self.level, "nothing yet"),
            "asked_level": self.asked,
            "seconds": round(self.seconds, 1),
            "parts": self.counts(),
            "failures": [
                {"case": result.key, "differences": result.differences, "reproduce": result.lines}
                for result in self.results
                if result.outcome == "failed"
            ],
            "known_failures": [
                {"case": result.key, "reason": result.reason} for result in self.results if result.outcome == "known"
            ],
        }


def _cause(part: str, differences: Sequence[str]) -> str:
    """Returns what a failure says with numbers, types and places left out."""
    first = differences[0].splitlines()[0] if differences else "failed"
    first = re.sub(r"(b?float|u?int|complex)\d+", "dtype", first)
    first = re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", first)
    first = re.sub(r"(got|expected|gives?) (\S*#\S*|nan|-?inf|\(.*?\)|\[.*\])", r"\1 ...", first)
    return f"{part}: {first[:150]}"
