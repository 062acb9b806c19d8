"""PyTorch's side of every draw of `HostGenerator`: the same method name and arguments, NumPy arrays in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import torch

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Returns the tensor's numbers in the NumPy dtype of the same bytes."""
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()


def to_torch(array: np.ndarray) -> torch.Tensor:
    """Returns the array's numbers in the PyTorch dtype of the same bytes."""
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def torch_dtype(dtype: Any) -> torch.dtype:
    return getattr(torch, np.dtype(dtype).name)


def draw(generator: torch.Generator, method: str, *args: Any, **kwargs: Any) -> np.ndarray:
    """Returns what PyTorch draws from `generator` where `HostGenerator` has `method(*args, **kwargs)`."""
    return to_numpy(_DRAWS[method](generator, *args, **kwargs))


def _empty(shape: Any, dtype: Any) -> torch.Tensor:
    return torch.empty(shape, dtype=torch_dtype(dtype))


def _rand(g: torch.Generator, shape: Any, dtype: Any) -> torch.Tensor:
    return torch.rand(shape, dtype=torch_dtype(dtype), generator=g)


def _uniform(g: torch.Generator, shape: Any, dtype: Any, low: float, high: float) -> torch.Tensor:
    return _empty(shape, dtype).uniform_(low, high, generator=g)


def _randn(g: torch.Generator, shape: Any, dtype: Any) -> torch.Tensor:
    return torch.randn(shape, dtype=torch_dtype(dtype), generator=g)


def _normal(g: torch.Generator, shape: Any, dtype: Any, mean: float, std: float) -> torch.Tensor:
    return _empty(shape, dtype).normal_(mean, std, generator=g)


def _normal_arrays(g: torch.Generator, mean: Any, std: Any) -> torch.Tensor:
    mean, std = (to_torch(x) if isinstance(x, np.ndarray) else x for x in (mean, std))
    return torch.normal(mean, std, generator=g)


def _randint(g: torch.Generator, shape: Any, low: int, high: int, dtype: Any) -> torch.Tensor:
    size = (shape,) if isinstance(shape, int) else shape
    return torch.randint(low, high, size, dtype=torch_dtype(dtype), generator=g)


def _random(g: torch.Generator, shape: Any, dtype: Any, low: Any = None, high: Any = None) -> torch.Tensor:
    out = _empty(shape, dtype)
    if low is None:
        return out.random_(generator=g) if high is None else out.random_(high, generator=g)
    return out.random_(low, high, generator=g)


def _randperm(g: torch.Generator, n: int, dtype: Any) -> torch.Tensor:
    return torch.randperm(n, dtype=torch_dtype(dtype), generator=g)


def _bernoulli(g: torch.Generator, p: Any, shape: Any, dtype: Any) -> torch.Tensor:
    out = _empty(shape, dtype)
    return out.bernoulli_(to_torch(p) if isinstance(p, np.ndarray) else p, generator=g)


def _dropout_mask(g: torch.Generator, shape: Any, p: float, dtype: Any) -> torch.Tensor:
    # F.dropout draws from the default generator only.
    outside = torch.get_rng_state()
    torch.set_rng_state(g.get_state())
    dropped = torch.nn.functional.dropout(torch.ones(shape, dtype=torch_dtype(dtype)), p, training=True)
    g.set_state(torch.get_rng_state())
    torch.set_rng_state(outside)
    return (dropped != 0).to(torch_dtype(dtype))


def _multinomial(g: torch.Generator, weights: Any, num_samples: int, replacement: bool) -> torch.Tensor:
    return torch.multinomial(to_torch(weights), num_samples, replacement, generator=g)


def _in_place(name: str) -> Callable[..., torch.Tensor]:
    def fill(g: torch.Generator, shape: Any, dtype: Any, *args: float) -> torch.Tensor:
        return getattr(_empty(shape, dtype), name)(*args, generator=g)

    return fill


def _poisson(g: torch.Generator, rates: Any) -> torch.Tensor:
    return torch.poisson(to_torch(rates), generator=g)


_DRAWS: dict[str, Callable[..., torch.Tensor]] = {
    "rand": _rand,
    "uniform": _uniform,
    "randn": _randn,
    "normal": _normal,
    "normal_arrays": _normal_arrays,
    "randint": _randint,
    "random_": _random,
    "randperm": _randperm,
    "bernoulli": _bernoulli,
    "dropout_mask": _dropout_mask,
    "multinomial": _multinomial,
    "exponential": _in_place("exponential_"),
    "geometric": _in_place("geometric_"),
    "log_normal": _in_place("log_normal_"),
    "cauchy": _in_place("cauchy_"),
    "poisson": _poisson,
}
