"""Switches of CUDA: kept for programs that set them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["is_built", "matmul", "sdp_kernel"]


class _Matmul:
    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _Matmul()


def is_built() -> bool:
    """Says whether PyTorch was built with CUDA: torchplug's engines bring their own."""
    return False


@contextlib.contextmanager
def sdp_kernel(**_choices: Any) -> Iterator[None]:
    """Chooses attention kernels inside a with block: engines choose their own."""
    yield


def _switch(name: str) -> None:
    state = {"on": True}

    def enabled() -> bool:
        return state["on"]

    def enable(enabled: bool) -> None:
        state["on"] = bool(enabled)

    enabled.__doc__ = f"Says whether {name} attention is allowed."
    enable.__doc__ = f"Allows {name} attention or not: engines choose their own kernels."
    globals()[f"{name}_sdp_enabled"], globals()[f"enable_{name}_sdp"] = enabled, enable


for _name in ("flash", "mem_efficient", "math", "cudnn"):
    _switch(_name)
