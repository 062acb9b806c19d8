"""Switches of CUDA: kept for programs that set them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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


def _switch(name: str) -> tuple[Callable[[], bool], Callable[[bool], None]]:
    """Returns (whether attention of a kind is allowed, allow it or not)."""
    state = {"on": True}

    def is_enabled() -> bool:
        return state["on"]

    def enable(enabled: bool) -> None:
        state["on"] = bool(enabled)

    is_enabled.__doc__ = f"Says whether {name} attention is allowed."
    enable.__doc__ = f"Allows {name} attention or not: engines choose their own kernels."
    return is_enabled, enable


flash_sdp_enabled, enable_flash_sdp = _switch("flash")
mem_efficient_sdp_enabled, enable_mem_efficient_sdp = _switch("mem_efficient")
math_sdp_enabled, enable_math_sdp = _switch("math")
cudnn_sdp_enabled, enable_cudnn_sdp = _switch("cudnn")
