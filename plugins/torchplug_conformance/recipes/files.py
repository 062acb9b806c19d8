"""A checkpoint with what files carry: element types, views of one storage, containers, models and optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["DTYPES", "checkpoint"]

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64")
"""Element types every backend that has them can save."""


def checkpoint(torch: Any, dtypes: tuple[str, ...] = DTYPES) -> dict[str, Any]:
    """Returns the checkpoint; `dtypes` are the types of its plain tensors."""
    base = torch.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    (model(torch.tensor(np.eye(4, 3, dtype=np.float32))) ** 3).sum().backward()
    optimizer.step()
    return {
        "plain": {name: torch.tensor([0, 1, 2]).to(getattr(torch, name)) for name in dtypes},
        "zero-dim": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "views": [base, base[1], base.t(), base[:, ::2]],
        "containers": {"list": [1, 2.5, "three"], "tuple": (None, True), "nested": {"deep": {"deeper": base[2]}}},
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
