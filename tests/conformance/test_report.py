"""The report: levels, counts, causes, and the lines that reproduce a failure."""

from __future__ import annotations

import json

from torchplug_conformance.report import Report, Result


def report(*results: Result, selection: str = "", stopped: bool = False) -> Report:
    return Report("numpy", 4, results, 1.5, selection, stopped)


def result(part: str, outcome: str, *differences: str, key: str = "") -> Result:
    return Result(part, key or f"{part}-case", outcome, differences, ("first", "second", "third"), "no scan")


def test_the_level_is_the_highest_below_which_nothing_failed() -> None:
    passed = [result(part, "passed") for part in ("forward", "gradient", "replay")]
    assert report(*passed).level == 3
    assert report(*passed[:2], result("replay", "failed", "stale")).level == 2
    assert report(passed[0], result("gradient", "failed", "off"), passed[2]).level == 1
    assert report(result("forward", "failed", "off"), *passed[1:]).level == 0


def test_known_failures_do_not_lower_the_level() -> None:
    assert report(result("forward", "known", "off"), result("gradient", "passed")).level == 2


def test_a_level_that_was_not_tested_is_not_reached() -> None:
    assert report(result("forward", "passed")).level == 1
    assert "levels above 1 were not tested" in report(result("forward", "passed")).verdict()


def test_a_run_that_stopped_reaches_no_level() -> None:
    made = report(result("forward", "passed"), stopped=True)
    assert made.level == 0
    assert "has no level: the run stopped before its end" in made.verdict()


def test_a_run_of_some_cases_says_which_ones_its_level_stands_on() -> None:
    made = report(result("forward", "passed"), selection="sum")
    assert "level 1: computes" in made.verdict()
    assert "as far as the cases chosen by 'sum' can tell" in made.verdict()


def test_failures_that_say_the_same_but_for_numbers_are_one_cause() -> None:
    failures = [
        result(
            "forward",
            "failed",
            f"result: 1 of 12 values differ, first at [0, {i}]: got {i}.5, expected 1e-{i}",
            key=f"k{i}",
        )
        for i in range(3)
    ]
    other = result("forward", "failed", "raised TypeError: no")
    causes = report(*failures, other).causes()
    assert [len(group) for group in causes.values()] == [3, 1]


def test_the_text_gives_each_cause_one_case_and_the_lines_that_reproduce_it() -> None:
    text = "\n".join(report(result("forward", "failed", "raised TypeError: no", key="forward-sum-0")).lines())
    assert "1 x forward: raised TypeError: no" in text
    assert "forward-sum-0: raised TypeError: no" in text
    assert "    first\n    second\n    third" in text


def test_the_text_shows_a_few_failures_of_a_cause_or_all_of_them() -> None:
    made = report(*(result("forward", "failed", f"off by {i}", key=f"k{i}") for i in range(9)))
    few, every = "\n".join(made.lines()), "\n".join(made.lines(all_failures=True))
    assert (few.count("    second"), every.count("    second")) == (3, 9)
    assert "... and 6 more of this cause" in few
    assert "more of this cause" not in every


def test_the_json_has_every_failure_and_every_known_failure() -> None:
    made = report(result("forward", "failed", "off"), result("gradient", "known", "off"), result("gradient", "passed"))
    read = json.loads(json.dumps(made.as_json()))
    assert read["level"] == 0
    assert read["failures"] == [
        {
            "case": "forward-case",
            "cause": "forward: off",
            "differences": ["off"],
            "reproduce": ["first", "second", "third"],
        }
    ]
    assert read["known_failures"] == [{"case": "gradient-case", "reason": "no scan"}]
    assert read["parts"]["gradient"] == {"passed": 1, "failed": 0, "known": 1, "provisional": 0}
