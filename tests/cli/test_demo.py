"""`torchplug demo`: it learns, shows how, compares the backends, and keeps what it is told to keep."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import pytest

import torchplug
from torchplug.cli import main
from torchplug.demo import report
from torchplug.demo.model import Net
from torchplug.demo.report import Progress, agreement, loss_table, result_table
from torchplug.demo.training import CheckpointError, Result, Settings, train


def test_two_epochs_are_shown_line_by_line_and_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--epochs", "2", "--lr", "0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"numpy: epoch 1/2  loss [12]\.\d{4}  test accuracy [ \d]\d\.\d\d%", lines[0])
    assert re.fullmatch(r"numpy: epoch 2/2  loss \d\.\d{4}  test accuracy [ \d]\d\.\d\d%", lines[1])
    assert lines[-2].split() == ["backend", "first", "step", "steps/s", "final", "loss", "accuracy"]
    assert lines[-1].startswith("numpy")
    assert float(lines[-1].split()[-1].rstrip("%")) > 60


class Silent:
    """A watcher that looks away."""

    def step(self, epoch: int, step: int, steps: int, loss: Any) -> None:
        pass

    def epoch(self, epoch: int, losses: list[float], accuracy: float) -> None:
        pass


def test_the_network_learns_to_read_digits() -> None:
    result = train(Settings(), Silent())
    assert result.accuracies[-1] >= 0.95
    assert result.losses[-1] < 0.3 < 2.0 < result.losses[0]
    assert len(result.losses) == 20 * 23 and len(result.accuracies) == 20


def test_runs_from_one_seed_are_the_same_bit_by_bit() -> None:
    runs = [train(Settings(epochs=1, seed=seed), Silent()).losses for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_the_checkpoint_is_kept_where_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "digits.pt"
    assert main(["demo", "--epochs", "1", "--checkpoint", str(path)]) == 0
    state = torchplug.load(path)
    Net().load_state_dict(state["model"])
    assert set(state["optimizer"]) == {"state", "param_groups"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_that_changed_on_the_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchplug, "load", lambda path: {"model": Net().state_dict()})
    with pytest.raises(CheckpointError, match="the model read back from .* is right for"):
        train(Settings(epochs=2, lr=0.01), Silent())


def test_all_backends_are_compared_and_the_others_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHPLUG_DISABLE_BACKENDS", "jax")
    code = main(["demo", "--backend", "all", "--epochs", "1", "--checkpoint", str(tmp_path / "digits.pt")])
    out = capsys.readouterr().out
    assert code == 0, out
    assert re.search(r"^step +numpy( .*)? strict\b", out, re.MULTILINE)  # whatever else is installed may stand between
    assert re.search(
        r"^strict agrees with numpy: losses differ by at most \S+ in the first 23 steps", out, re.MULTILINE
    )
    assert re.search(r"^jax left out: .*TORCHPLUG_DISABLE_BACKENDS", out, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} >= {"digits-numpy.pt", "digits-strict.pt"}


def test_a_backend_that_fails_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torchplug.demo import training

    real = training.train

    def fails_on_strict(settings: Settings, watcher: Any, checkpoint: str | None) -> Result:
        if torchplug.get_backend() == "strict":
            raise ValueError("no luck")
        return real(settings, watcher, checkpoint)

    monkeypatch.setattr(training, "train", fails_on_strict)
    monkeypatch.setenv("TORCHPLUG_DISABLE_BACKENDS", "jax")
    assert main(["demo", "--backend", "all", "--epochs", "1"]) == 1
    out = capsys.readouterr().out
    assert "strict failed: ValueError: no luck" in out and re.search(r"^numpy .*%$", out, re.MULTILINE)


def run_of(name: str, *losses: float) -> Result:
    return Result(name, list(losses), [0.5], 0.25, 100.0)


def test_losses_agree_or_they_do_not() -> None:
    first = run_of("numpy", 2.0, 1.0)
    assert agreement(run_of("a", 2.0, 1.00005), first).holds
    assert not agreement(run_of("a", 2.0, 1.001), first).holds
    assert not agreement(run_of("a", 2.0, float("nan")), first).holds
    assert agreement(run_of("a", float("nan")), run_of("b", float("nan"))).holds
    late = [0.0] * report.COMPARED_STEPS
    assert agreement(run_of("a", *late, 1.0), run_of("b", *late, 2.0)) == (0.0, 1.0)


def test_tables_stand_in_columns() -> None:
    runs = [run_of("numpy", 2.0, 1.5, 1.0), run_of("jax", 2.0, 1.5, 1.5)]
    assert loss_table(runs).splitlines() == [
        "step     numpy       jax",
        "1     2.000000  2.000000",
        "2     1.500000  1.500000",
        "3     1.000000  1.500000",
        "jax DOES NOT AGREE WITH numpy: losses differ by at most 5.0e-01 in the first 3 steps, 5.0e-01 in all",
    ]
    assert result_table(runs).splitlines() == [
        "backend  first step  steps/s  final loss  accuracy",
        "numpy       0.250 s    100.0      1.0000    50.00%",
        "jax         0.250 s    100.0      1.5000    50.00%",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_a_terminal_only() -> None:
    texts = []
    for stream in (Terminal(), io.StringIO()):
        progress = Progress("numpy", 12, stream)
        progress.step(0, 4, 10, torchplug.tensor(1.25))
        progress.epoch(0, [1.0, 2.0], 0.5)
        texts.append(stream.getvalue())
    line = "numpy: epoch  1/12  loss 1.5000  test accuracy 50.00%\n"
    assert texts[0] == f"\rnumpy: epoch  1/12 [{'#' * 15}{'.' * 15}]   5/10  loss 1.2500 \r\033[K{line}"
    assert texts[1] == line


def test_curves_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "curves.png"
    assert main(["demo", "--epochs", "1", "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"curves: {path}" in capsys.readouterr().out


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is not None, reason="matplotlib is here")
def test_a_plot_without_matplotlib_is_refused_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--plot", "curves.png"]) == 2
    assert capsys.readouterr() == ("", "torchplug demo: --plot needs matplotlib: pip install matplotlib\n")


@pytest.mark.parametrize("option", ["--plot", "--checkpoint"])
def test_a_file_in_no_folder_is_refused_before_training(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", option, "/no/such/folder/file"]) == 2
    assert f"{option} /no/such/folder/file: there is no folder /no/such/folder" in capsys.readouterr().err
