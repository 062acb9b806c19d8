"""One small training run, in torchplug and in PyTorch, from the same numbers."""

from __future__ import annotations

import numpy as np

__all__ = ["losses_and_optimizer", "numbers"]


def numbers(seed=0, dtype="float32"):
    """Returns weights, bias and data of a least squares problem whose gradients change sign."""
    rng = np.random.RandomState(seed)
    real = np.float64 if dtype in ("float64", "complex128") else np.float32

    def draw(*shape):
        values = np.asarray(rng.randn(*shape), real)
        if dtype.startswith("complex"):
            values = values + 1j * np.asarray(rng.randn(*shape), real)
        return values.astype(dtype)

    return draw(4, 3), draw(3), draw(), draw(8, 4), draw(8, 3)


def losses_and_optimizer(torch, name, steps=50, dtype="float32", schedule=None, **options):
    """Trains for `steps` steps with `torch.optim.<name>(..., **options)`; returns the losses and the optimizer.

    The last parameter never gets a gradient in the first three steps, so that step counts differ.
    """
    weight, bias, scale, inputs, targets = numbers(dtype=dtype)
    params = [torch.tensor(value, requires_grad=True) for value in (weight, bias, scale)]
    inputs, targets = torch.tensor(inputs), torch.tensor(targets)
    options.setdefault("lr", 0.01)
    optimizer = getattr(torch.optim, name)(params, **options)
    scheduler = schedule(optimizer) if schedule is not None else None
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        out = inputs @ params[0] + params[1]
        if step >= 3:
            out = out * params[2]
        loss = ((out - targets).abs() ** 2).mean()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
    return losses, optimizer
