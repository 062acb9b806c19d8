"""Makes kernels of plain functions of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug_numpy.bfloat16 import typed
from torchplug_numpy.quiet import quiet_context
from torchplug_numpy.threads import run_blocks
from torchplug_spec.backend import kernel
from torchplug_spec.strided import HALF_CHARACTERS

__all__ = ["BLOCK", "blockwise", "fused", "run_in_blocks"]

BLOCK = 1 << 16
"""Elements handled at a time: a few float32 arrays of them stay in a second-level cache."""


MANY = 4
"""Blocks from which on waking another thread costs less than it saves."""


def fused(name: str, function: Callable[..., Any], partial: bool = False) -> Callable[..., Any]:
    """Returns a backend method that runs `function(*arguments)` as the kernel `name`, without floating-point warnings.

    Arrays of half precision (by the first argument) are computed in float32, and results are rounded once. A `partial`
    function may return NotImplemented.
    """

    def method(_backend: Any, *arguments: Any) -> Any:
        dtype = arguments[0].dtype
        if dtype.char in HALF_CHARACTERS:
            wide = [_widened(argument, dtype) for argument in arguments]
            return quiet_context().run(_narrowed, quiet_context().run(function, *wide), dtype)
        return quiet_context().run(function, *arguments)

    method.__name__ = name
    method.__doc__ = function.__doc__
    return kernel(name, partial)(method)


def _widened(argument: Any, dtype: np.dtype) -> Any:
    return argument.astype("f") if isinstance(argument, np.ndarray) and argument.dtype == dtype else argument


def _narrowed(result: Any, dtype: np.dtype) -> Any:
    if type(result) is tuple:
        return tuple([_narrowed(each, dtype) for each in result])
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype.char == "f":
        return typed(result.astype(dtype))
    return result


def blockwise(function: Callable[..., None], *arrays: np.ndarray) -> np.ndarray:
    """Returns an array like the first, block by block filled by `function(out, *blocks)`."""
    first = arrays[0]
    out = np.empty(first.shape, first.dtype)
    flat = out.reshape(-1)
    # Ravelled in C order, operands match however they lie; a 0-d array becomes one that can be written into.
    operands = [np.ascontiguousarray(x).reshape(-1) for x in arrays]
    size = flat.shape[0]
    if size <= BLOCK:
        function(flat, *operands)
        return out
    blocks = [slice(start, start + BLOCK) for start in range(0, size, BLOCK)]
    run_in_blocks(lambda block: function(flat[block], *[x[block] for x in operands]), blocks)
    return out


def run_in_blocks(function: Callable[[slice], None], blocks: list[slice]) -> None:
    """Calls `function` with all blocks, on several threads where there are enough of them to be worth it."""
    if len(blocks) >= MANY:
        run_blocks(function, blocks)
        return
    for block in blocks:
        function(block)
