"""`gradcheck` and `gradgradcheck`: analytic gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from torchplug._core.host import host_array
from torchplug._core.tensor import Tensor, shape_of, wrap
from torchplug.autograd.call import grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """Raised by gradcheck and gradgradcheck when a gradient is wrong."""


def _outputs(value: Any) -> list[Tensor]:
    outs = list(value) if isinstance(value, (tuple, list)) else [value]
    return [x for x in outs if isinstance(x, Tensor) and x._kind.inexact and x._node is not None]


def _values(x: Tensor) -> np.ndarray:
    return np.array(host_array(x.detach()))


def _like(values: np.ndarray, x: Tensor) -> Tensor:
    kind = x._kind
    made = wrap(
        kind.F.from_numpy(
            np.ascontiguousarray(values.astype(kind.dtype.numpy)).reshape(shape_of(x)), kind.native_device
        ),
        kind,
    )
    return made.requires_grad_(x._node is not None)


def _numeric(function: Callable[..., Any], inputs: Sequence[Any], which: int, eps: float) -> list[np.ndarray]:
    """Returns per output the matrix d output / d input by central differences; complex inputs give d/d(re) + i d/d(im)."""
    base = _values(inputs[which])
    flat = base.reshape(-1)
    columns: list[list[np.ndarray]] = []

    def at(values: np.ndarray) -> list[np.ndarray]:
        moved = list(inputs)
        moved[which] = _like(values, inputs[which])
        value = function(*moved)
        outs = list(value) if isinstance(value, (tuple, list)) else [value]
        return [_values(x).reshape(-1) for x in outs if isinstance(x, Tensor) and x._kind.inexact]

    steps = (eps, 1j * eps) if np.iscomplexobj(base) else (eps,)
    for place in range(flat.size):
        sides = []
        for step in steps:
            high, low = flat.copy(), flat.copy()
            high[place] += step
            low[place] -= step
            sides.append([(a - b) / (2 * eps) for a, b in zip(at(high), at(low), strict=True)])
        columns.append([np.stack(parts) if len(steps) == 2 else parts[0] for parts in zip(*sides, strict=True)])
    count = len(columns[0]) if columns else 0
    return [np.stack([np.asarray(column[out]) for column in columns], axis=0) for out in range(count)]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
    **_ignored: Any,
) -> bool:
    """Says whether the gradients of `func` at `inputs` equal finite differences; raises GradcheckError otherwise.

    Inputs should be float64 or complex128. Every output is weighted with each unit vector, so the whole Jacobian is compared.
    """
    args = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    wanted = [place for place, x in enumerate(args) if isinstance(x, Tensor) and x._node is not None]
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True."
        )
    outs = _outputs(func(*args))
    if not outs:
        return True
    try:
        for place in wanted:
            numeric = _numeric(func, args, place, eps)
            _compare(func, args, place, numeric, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _compare(
    func: Callable[..., Any], args: Sequence[Any], place: int, numeric: list[np.ndarray], atol: float, rtol: float
) -> None:
    outs = _outputs(func(*args))
    for number, out in enumerate(outs):
        analytic = _analytic(outs, number, args[place])
        expected = _expected(numeric[number], out, args[place])
        if not np.allclose(analytic, expected, rtol, atol, equal_nan=True):
            raise GradcheckError(
                f"Jacobian mismatch for output {number} with respect to input {place},\nnumerical:{expected}\nanalytical:{analytic}\n"
            )


def _analytic(outs: Sequence[Tensor], number: int, x: Tensor) -> np.ndarray:
    out = outs[number]
    rows = []
    count = out.numel()
    units = (1, 1j) if out._kind.dtype.is_complex else (1,)
    for place in range(count):
        for unit in units:
            weight = np.zeros(count, out._kind.dtype.numpy)
            weight[place] = unit
            (g,) = grad([out], [x], [_like(weight, out).detach()], retain_graph=True, allow_unused=True)
            rows.append(np.zeros(x.numel(), x._kind.dtype.numpy) if g is None else _values(g).reshape(-1))
    return np.stack(rows) if rows else np.zeros((0, x.numel()))


def _expected(numeric: np.ndarray, out: Tensor, x: Tensor) -> np.ndarray:
    """Turns difference quotients into what backward returns: for real L, g = dL/d(re) + i dL/d(im) of the input."""
    complex_in, complex_out = x._kind.dtype.is_complex, out._kind.dtype.is_complex
    parts = numeric if complex_in else numeric[:, None]  # (inputs, 1 or 2, outputs)
    rows = []
    for place in range(out.numel()):
        for unit in (1, 1j) if complex_out else (1,):
            real = [np.real(np.conj(unit) * parts[:, side, place]) for side in range(parts.shape[1])]
            rows.append(real[0] + 1j * real[1] if complex_in else real[0])
    return np.stack(rows) if rows else np.zeros((0, x.numel()))


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    **options: Any,
) -> bool:
    """Says whether the second derivatives of `func` equal finite differences of the first; see `gradcheck`."""
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    outs = _outputs(func(*args))
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        weights = [_like(_draw(rng, x), x.detach()).requires_grad_() for x in outs]
    else:
        weights = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    wanted = [place for place, x in enumerate(args) if isinstance(x, Tensor) and x._node is not None]

    def first(*values: Any) -> tuple[Tensor, ...]:
        own, given = values[: len(args)], values[len(args) :]
        found = _outputs(func(*own))
        chosen = [own[place] for place in wanted]
        gs = grad(found, chosen, list(given), create_graph=True, allow_unused=True)
        return tuple(g for g in gs if g is not None and g._node is not None)

    return gradcheck(
        first, (*args, *weights), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, **options
    )


def _draw(rng: np.random.Generator, x: Tensor) -> np.ndarray:
    values = rng.standard_normal(shape_of(x))
    return values + 1j * rng.standard_normal(shape_of(x)) if x._kind.dtype.is_complex else values
