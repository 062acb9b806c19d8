"""The comparison's table and page say what was measured, and the command refuses what it cannot measure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from torchplug._bench.runner import Row
from torchplug._bench.table import render
from torchplug.cli import main


def rows() -> list[Row]:
    made = []
    for samples, numpy, torch in (("1", 2e-6, 4e-6), ("10", 3e-6, 3e-6), ("100", 9e-6, 6e-6)):
        row = Row("scaling.Batch.time", (samples,), "seconds", ("samples",))
        row.figures, row.spreads = {"numpy": numpy, "torch": torch}, {"numpy": (0.9 * numpy, 1.1 * numpy)}
        made.append(row)
    row = Row("training.Eager.time <step>", ("MLP & more",), "seconds", ("model",))
    row.figures = {"numpy": 0.5}
    return [*made, row]


def test_the_table_shows_figure_spread_and_ratio() -> None:
    lines = render(rows(), ["numpy", "torch"], "torch").splitlines()
    assert re.split(r"  +", lines[1]) == ["scaling.Batch.time 1", "2 µs ±10% (0.50)", "4 µs"]
    assert re.split(r"  +", lines[4]) == ["training.Eager.time <step> MLP & more", "500 ms", "-"]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from torchplug._bench.page import write_page

    path = tmp_path / "bench.html"
    write_page(str(path), rows(), ["numpy", "torch"], "torch", {"processor": "a <fast> one"})
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']http|url\(http|@import|<script""", text)
    assert "a &lt;fast&gt; one" in text and "MLP &amp; more" in text
    assert "<b class='faster'>0.50</b>" in text and "<b class='slower'>1.50</b>" in text
    charts = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(charts) == 2  # one for each benchmark
    for chart in charts:
        ElementTree.fromstring(chart)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vs", "tensorflow"], "got --vs tensorflow, expected some of torch, jax-by-hand, autograd"),
        (["--backends", "nothing"], "backend 'nothing' is not installed; available: "),
        (["--html", "/no/such/folder/bench.html"], "there is no folder /no/such/folder"),
        (["--json", "/no/such/folder/bench.json"], "there is no folder /no/such/folder"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_timed(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_forms_by_hand_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    pytest.importorskip("autograd")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "asv_bench"))
    from benchmarks import by_hand  # type: ignore[import-not-found]

    for case in list(by_hand.PERCEPTRONS)[:2]:
        steps = [by_hand.make_step(name, case) for name in ("jax-by-hand", "autograd")]
        first, second = ([float(step()) for _ in range(5)] for step in steps)
        assert first == pytest.approx(second, rel=1e-4)
        assert first[-1] < first[0]
