"""Kernels compiled by Numba for torchplug's NumPy engine: the plugin that the entry point names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchplug_spec import kernel
from torchplug_spec.hookspecs import hookimpl

from torchplug_numba import activations, attention, embedding, losses, normalization, optimizers, softmax, threads

__all__ = ["plugin"]

_FAMILIES = (activations, attention, embedding, losses, normalization, optimizers, softmax)


class Plugin:
    """What this distribution brings to torchplug: the functions in the tables KERNELS, by kernel name."""

    @hookimpl
    def register_kernels(self, register: Callable[[str, str, Callable[..., Any]], None]) -> None:
        for family in _FAMILIES:
            for name, function in family.KERNELS.items():
                register("numpy", name, kernel(name, partial=True)(function))

    @hookimpl
    def set_num_threads(self, count: int) -> None:
        threads.set_num_threads(count)


plugin = Plugin()
