"""Programs over what a Tensor is in Python: operators, numbers, printing, filling, casting, joining NumPy."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug._core.tensor import Tensor
from torchplug_spec import dtypes as dt

__all__ = ["TENSOR_PROGRAMS"]


def _floats() -> Tensor:
    return torchplug.tensor(np.array([[1.5, -2.0, 0.25], [4.0, -0.5, 3.0]], np.float32))


def _ints() -> Tensor:
    return torchplug.tensor(np.array([[7, 2, 5], [1, 9, 4]]))


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne")
_BITWISE = ("and_", "or_", "xor")
_INPLACE = ("iadd", "isub", "imul", "itruediv", "ipow")


def _with_number(name: str) -> Any:
    function = getattr(operator, name)
    x = _floats().abs()
    return function(x, 2), function(2, x), function(_ints(), 3), function(10, _ints()), function(x, 0.5)


def _with_tensor(name: str) -> Any:
    function = getattr(operator, name)
    return function(_floats(), _floats()[0] + 10), function(_ints(), _ints()[:, :1]), function(_floats(), _ints())


def _bitwise(name: str) -> Any:
    function = getattr(operator, name)
    return function(_ints(), 6), function(_ints() > 3, _ints() < 8), ~_ints(), ~(_ints() > 3)


def _inplace(name: str) -> Any:
    x = base = _floats().abs()
    x = getattr(operator, name)(x, 3)
    return x is base, base, base._version


def _promotions() -> Any:
    kinds = (dt.bool_, dt.uint8, dt.int32, dt.int64, dt.float16, dt.float32)
    made = [torchplug.ones(2, dtype=dtype) for dtype in kinds]
    return (
        [str((x * y).dtype) for x in made for y in made],
        [(x + 1).dtype for x in made],
        [(x * 0.5).dtype for x in made],
    )


def _numbers() -> Any:
    x = torchplug.tensor(np.array(3.75, np.float32))
    counted = torchplug.tensor(np.array(4))
    return x.item(), float(x), int(x), bool(x), f"{x:.1f}", counted.item(), list(range(8))[counted], len(_floats())


def _fills() -> Any:
    x = torchplug.zeros(2, 3)
    x.fill_(2.5)
    y = torchplug.ones(4)
    y.zero_()
    z = _floats()
    z[0].fill_(7)
    return x, y, z, torchplug.full((2,), 3), torchplug.empty(3).fill_(1)


def _random_fills() -> Any:
    torchplug.manual_seed(3)
    made = torchplug.empty(20)
    return [
        made.clone().normal_(1.0, 2.0),
        made.clone().uniform_(-1, 1),
        made.clone().exponential_(),
        made.clone().bernoulli_(0.3),
        torchplug.empty(20, dtype=dt.int64).random_(0, 100),
        torchplug.rand(3, 4),
        torchplug.randn(17),
        torchplug.randperm(10),
        torchplug.randint(0, 9, (5,)),
    ]


def _copies() -> Any:
    x = _floats()
    y = torchplug.zeros(2, 3)
    y.copy_(x)
    z = torchplug.zeros(2, 3, dtype=dt.int64)
    z.copy_(x)
    y[0] = 9
    return x, y, z, x.clone(), x.t().contiguous()


def _moves() -> Any:
    x = _floats()
    same = x.to(x.device)
    return same is x, x.cpu(), x.to("cpu", dt.int32), x.to(_ints()), str(x.device)


TENSOR_PROGRAMS: dict[str, Callable[[], Any]] = {
    **{f"{name}-with-number": partial(_with_number, name) for name in _ARITHMETIC},
    **{f"{name}-with-tensor": partial(_with_tensor, name) for name in _ARITHMETIC},
    **{name: partial(_bitwise, name) for name in _BITWISE},
    **{name: partial(_inplace, name) for name in _INPLACE},
    "matmul": lambda: (_floats() @ _floats().t(), _floats() @ _floats()[0], _ints() @ _ints().t()),
    "negative": lambda: (-_floats(), +_floats(), abs(_floats()), -_ints()),
    "promotions": _promotions,
    "numbers": _numbers,
    "fills": _fills,
    "random-fills": _random_fills,
    "copies": _copies,
    "moves": _moves,
    "lists": lambda: (_floats().tolist(), _ints().tolist(), (_ints() > 3).tolist(), [x.item() for x in _ints()[0]]),
    "numpy": lambda: [x.tolist() for x in (np.asarray(_floats()), _ints().numpy(), _floats().t().numpy())],
    "from-numpy": lambda: torchplug.from_numpy(np.arange(6.0, dtype=np.float32).reshape(2, 3)[:, ::2].copy()) + 1,
    "printing": lambda: (repr(_floats()), repr(_ints()), repr(_floats().requires_grad_()), repr(_floats() > 0)),
    "casts": lambda: [_floats().to(dtype) for dtype in (dt.float16, dt.int64, dt.int32, dt.bool_)],
}
"""Name -> program."""
