"""The curves of a demo as an image, by matplotlib (an extra)."""

from __future__ import annotations

from collections.abc import Sequence

from torchplug.demo.training import Result

__all__ = ["draw"]


def draw(results: Sequence[Result], path: str) -> None:
    """Writes the losses by step and the accuracies by epoch of all runs to an image file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    by_step, by_epoch = figure.subplots(1, 2)
    for place, result in enumerate(results):
        # Equal curves lie on each other: later ones are thinner, so that all of them show.
        style = {"label": result.backend, "linewidth": 4.0 / (place + 1), "alpha": 0.8}
        by_step.plot(range(1, len(result.losses) + 1), result.losses, **style)
        by_epoch.plot(
            range(1, len(result.accuracies) + 1), [100 * part for part in result.accuracies], marker="o", **style
        )
    by_step.set(xlabel="step", ylabel="training loss", yscale="log")
    by_epoch.set(xlabel="epoch", ylabel="test accuracy in %")
    for axes in (by_step, by_epoch):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)
