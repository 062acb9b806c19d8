"""Calls of a declared function made twice, by torchplug and by real PyTorch, and the comparison of what came out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import torchplug
from torchplug._core.declare import Declaration
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

torch = pytest.importorskip("torch")

__all__ = [
    "Outcome",
    "arrays_in",
    "attempt",
    "compare",
    "first_line",
    "host",
    "real_function",
    "same_error",
    "tensors_in",
    "to_plug",
    "to_torch",
    "torch",
    "tree_map",
]

PLACES = ("", "nn.functional.", "special.", "linalg.", "fft.", "nn.init.", "_C._nn.")


def real_function(declaration: Declaration) -> Callable[..., Any]:
    """Returns PyTorch's function of a declared name: of the torch namespace, a method, or one of the submodules."""
    name = declaration.name
    if not declaration.public and declaration.method and hasattr(torch.Tensor, name):
        return getattr(torch.Tensor, name)
    for place in PLACES:
        found: Any = torch
        for part in (place + name).split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found
    return getattr(torch.Tensor, name)


# ---- arguments -------------------------------------------------------------------------------------------------------


def tree_map(function: Callable[[Any], Any], value: Any) -> Any:
    """Returns nested lists, tuples and dicts with `function` applied to their leaves."""
    if type(value) in (list, tuple):
        return type(value)(tree_map(function, item) for item in value)
    if type(value) is dict:
        return {key: tree_map(function, item) for key, item in value.items()}
    return function(value)


def tensors_in(value: Any) -> list[Any]:
    """Returns the tensors of either library inside nested containers, in order."""
    found: list[Any] = []

    def visit(item: Any) -> None:
        if isinstance(item, (torch.Tensor, torchplug.Tensor)):
            found.append(item)

    tree_map(visit, tuple(value) if isinstance(value, tuple) else value)  # a named tuple too
    return found


def arrays_in(value: Any) -> list[np.ndarray]:
    """Returns the NumPy arrays inside nested containers, in order."""
    found: list[np.ndarray] = []
    tree_map(lambda item: found.append(item) if isinstance(item, np.ndarray) else None, value)
    return found


def to_torch(value: Any) -> Any:
    """Returns a sample's argument for PyTorch: arrays as tensors, torchplug's constants as PyTorch's."""
    if isinstance(value, np.ndarray):
        if value.dtype == dt.bfloat16.numpy:
            return torch.from_numpy(value.astype(np.float32)).to(torch.bfloat16)
        return torch.tensor(value)
    if isinstance(value, DType):
        return getattr(torch, value.name)
    if type(value).__module__.startswith("torchplug"):
        return getattr(torch, str(value).rpartition(".")[2], value)
    return value


def to_plug(value: Any) -> Any:
    """Returns a sample's argument for torchplug: arrays as tensors of the default backend."""
    return torchplug.tensor(value) if isinstance(value, np.ndarray) else value


def host(value: Any) -> np.ndarray:
    """Returns the values of a tensor of either library as NumPy's, 16-bit brain floats widened."""
    value = value.detach()
    if isinstance(value, torch.Tensor):
        value = value.resolve_conj().resolve_neg()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy(force=True)
    return np.asarray((value.float() if value.dtype is dt.bfloat16 else value).numpy())


# ---- outcomes --------------------------------------------------------------------------------------------------------


class Outcome:
    """What a call did: returned `value` or raised `error`."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


def attempt(function: Callable[[], Any]) -> Outcome:
    """Returns the outcome of a call, with PyTorch's chatter silenced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Outcome(value=function())
        except Exception as error:  # the comparison needs whatever PyTorch or torchplug raises
            return Outcome(error=error)


def first_line(error: BaseException) -> str:
    """Returns the sentence of an error, without the frames PyTorch's C++ adds or a KeyError's quotes."""
    return (str(error).strip().splitlines() or [""])[0].strip()


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def same_error(ours: BaseException, theirs: BaseException) -> str | None:
    """Returns how an error differs from PyTorch's, None if it does not.

    The sentences of TypeErrors may differ: those of its argument parser name C++ types.
    """
    if type(ours).__name__ != type(theirs).__name__ and not isinstance(ours, type(theirs)):
        return f"raised  {_described(ours)}\n    PyTorch {_described(theirs)}"
    if not isinstance(theirs, TypeError) and first_line(ours) != first_line(theirs):
        return f"said    {first_line(ours)}\n    PyTorch {first_line(theirs)}"
    return None


def compare(ours: Any, theirs: Any, tolerance: Any, where: str = "result") -> list[str]:
    """Returns how a result differs from PyTorch's: containers, dtype, shape, requires_grad, values."""
    if isinstance(theirs, torch.Tensor):
        return _compare_tensors(ours, theirs, tolerance, where)
    if isinstance(theirs, (tuple, list)):
        return _compare_sequences(ours, theirs, tolerance, where)
    if isinstance(theirs, torch.dtype):
        return [] if str(ours) == str(theirs) else [f"{where}: got {ours}, PyTorch {theirs}"]
    if type(ours) is not type(theirs):
        return [f"{where}: got a {type(ours).__name__}, PyTorch a {type(theirs).__name__}"]
    if isinstance(theirs, (float, complex)):
        return _compare_values(np.asarray(ours), np.asarray(theirs), tolerance, where)
    return [] if ours == theirs else [f"{where}: got {ours!r}, PyTorch {theirs!r}"]


def _compare_sequences(ours: Any, theirs: Any, tolerance: Any, where: str) -> list[str]:
    named = [name for name in dir(theirs) if isinstance(getattr(theirs, name), torch.Tensor)]
    problems = [f"{where}: has no field '{name}'" for name in named if not hasattr(ours, name)]
    if not isinstance(ours, (tuple, list)) or len(ours) != len(theirs):
        return [f"{where}: got {_shown(ours)}, PyTorch a {type(theirs).__name__} of {len(theirs)}"]
    if isinstance(theirs, list) != isinstance(ours, list):
        problems.append(f"{where}: got a {type(ours).__name__}, PyTorch a {type(theirs).__name__}")
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        problems += compare(one, other, tolerance, f"{where}[{place}]")
    return problems


def _shown(value: Any) -> str:
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")


def _compare_tensors(ours: Any, theirs: Any, tolerance: Any, where: str) -> list[str]:
    if not isinstance(ours, torchplug.Tensor):
        return [f"{where}: got {_shown(ours)}, PyTorch a Tensor"]
    problems = []
    if str(ours.dtype) != str(theirs.dtype):
        problems.append(f"{where}: dtype {ours.dtype}, PyTorch {theirs.dtype}")
    if tuple(ours.shape) != tuple(theirs.shape):
        return [*problems, f"{where}: shape {tuple(ours.shape)}, PyTorch {tuple(theirs.shape)}"]
    if ours.requires_grad != theirs.requires_grad:
        problems.append(f"{where}: requires_grad {ours.requires_grad}, PyTorch {theirs.requires_grad}")
    return problems + _compare_values(host(ours), host(theirs), tolerance, where)


def _compare_values(ours: np.ndarray, theirs: np.ndarray, tolerance: Any, where: str) -> list[str]:
    if theirs.dtype.kind in "fc" and ours.dtype.kind in "fciub":
        wide = np.complex128 if theirs.dtype.kind == "c" or ours.dtype.kind == "c" else np.float64
        close = tolerance.close(ours.astype(wide), theirs.astype(wide))
    else:
        close = ours == theirs
    if np.all(close):
        return []
    bad = np.argwhere(~np.asarray(close))
    place = tuple(int(i) for i in bad[0])
    count = f"{len(bad)} of {theirs.size}"
    return [f"{where}: {count} differ, first at {list(place)}: got {ours[place]}, PyTorch {theirs[place]}"]
