"""New cases are provisional for one minor version: their failures are reported, and cost neither level nor status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torchplug
from torchplug_conformance.cases import PARTS, Case, Subject, cases_of
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.page import page
from torchplug_conformance.provisional import FILE, FirmCases, firm_cases, grouped
from torchplug_conformance.report import Report
from torchplug_conformance.running import judge

ROOT = Path(__file__).parents[2]
FIRM = FirmCases("0.1", {"forward-scans-cumsum-float32": 2, "files-save-and-read-back": 0})
NONE = KnownFailures(object())  # type: ignore[arg-type]  # stands for a backend that declares nothing


def case(name: str, *differences: str, part: str = "forward") -> Case:
    return Case(part, name, lambda: iter(differences))


def test_a_failing_case_that_is_new_is_provisional() -> None:
    assert judge(case("scans-cumsum-float32-1", "off"), NONE, FIRM).outcome == "failed"
    assert judge(case("scans-cumsum-float32-2", "off"), NONE, FIRM).outcome == "provisional"
    assert judge(case("scans-cumprod-float32-0", "off"), NONE, FIRM).outcome == "provisional"
    assert judge(case("save-and-read-back", "off", part="files"), NONE, FIRM).outcome == "failed"


def test_a_new_case_that_passes_has_passed() -> None:
    assert judge(case("scans-cumprod-float32-0"), NONE, FIRM).outcome == "passed"


def test_a_case_of_a_plugin_is_firm() -> None:
    made = case("their-function-float32-0", "off")
    made.foreign = True
    assert judge(made, NONE, FIRM).outcome == "failed"


def test_a_known_failure_stays_one() -> None:
    class Declaring:
        known_failures = {"forward-scans-*": "the library has no scan"}

    known = KnownFailures(Declaring())  # type: ignore[arg-type]  # only the declaration is looked at
    assert judge(case("scans-cumprod-float32-0", "off"), known, FIRM).outcome == "known"
    assert judge(case("scans-cumprod-float32-0"), known, FIRM).outcome == "failed"


def test_a_provisional_failure_costs_no_level_and_is_reported() -> None:
    results = [judge(case("scans-cumsum-float32-0"), NONE, FIRM), judge(case("new", "off by 3"), NONE, FIRM)]
    report = Report("numpy", 4, results, 1.0)
    assert report.level == 1
    text = "\n".join(report.lines())
    assert "provisional: these cases are new, and cost no level before the next minor version" in text
    assert "1 x forward: off by #" in text
    content = report.as_json()
    assert content["failures"] == []
    assert [row["case"] for row in content["provisional_failures"]] == ["forward-new"]
    assert "<summary>forward-new</summary>" in page(json.loads(json.dumps(content)))


def test_names_are_grouped_by_their_numbers() -> None:
    keys = ["a-b-0", "a-b-1", "a-c", "d-2"]
    groups = grouped(keys)
    assert groups == {"a-b": 2, "a-c": 0, "d": 3}
    firm = FirmCases("0.1", groups)
    assert [key for key in (*keys, "a-b-2", "a-d", "a-b") if key in firm] == [*keys, "a-b"]


def test_without_a_list_every_case_is_firm() -> None:
    assert "anything" in FirmCases("", {})


def test_the_list_is_that_of_the_minor_version_before() -> None:
    major, minor, *_ = torchplug.__version__.split(".")
    if FILE.exists():
        assert firm_cases().version == f"{major}.{int(minor) - 1}"
    else:
        assert (major, minor) == ("0", "1"), "run scripts/record_case_names.py of the minor version before"


def test_the_script_lists_every_case(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "import record_case_names, torchplug_conformance.provisional as provisional\n"
        f"import pathlib; provisional.FILE = pathlib.Path({str(tmp_path / 'cases.json')!r})\n"
        "record_case_names.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "cases.json").read_text())
    firm = FirmCases(content["version"], content["cases"])
    assert [case.key for part in PARTS for case in cases_of(part, Subject("strict")) if case.key not in firm] == []
    assert "forward-reductions-sum-float32-99" not in firm


def test_a_run_with_provisional_failures_ends_with_status_0(tmp_path: Path) -> None:
    roots = [str(ROOT / name) for name in ("frontend", "backends", "plugins")]
    program = (
        f"import sys; sys.path[:0] = {roots!r}\n"
        "import torchplug_conformance.running as running\n"
        "from torchplug_conformance.provisional import FirmCases\n"
        "running.firm_cases = lambda: FirmCases('0.1', {'contract-devices': 0})\n"
        "from torchplug_spec import registry; from torchplug_strict import StrictBackend\n"
        "class Wrong(StrictBackend):\n"
        "    name = 'wrong'\n"
        "    def sum(self, x, axis, keepdims): return StrictBackend.sum(self, x, axis, True)\n"
        "registry.register(Wrong)\n"
        "from torchplug_conformance.cli import main\n"
        "sys.exit(main(['wrong', '--level', '1', '-k', 'contract and (devices or sum)']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cost no level before the next minor version" in done.stdout
    assert "backend 'wrong' reaches level 1" in done.stdout
