"""What `torch.compile(module)` returns: the module, with its forward compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torchplug.nn.modules.module import Module

__all__ = ["OptimizedModule"]


class OptimizedModule(Module):
    """Behaves as the module it was made of (attributes, parameters, modes, hooks, state_dict without a prefix of its
    own for attributes, `_orig_mod.` in state_dict keys as in PyTorch); calling it runs the compiled forward.
    """

    _orig_mod: Module

    def __init__(self, module: Module, compiler: Callable[..., Any], **options: Any) -> None:
        super().__init__()
        self._orig_mod = module
        object.__setattr__(self, "_compiled", compiler(module.__call__, **options))
        self.training = module.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the compiled module."""
        return self._compiled(*args, **kwargs)

    def train(self, mode: bool = True) -> OptimizedModule:
        """Sets training mode on the module; returns self."""
        super().train(mode)
        return self

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._modules["_orig_mod"], name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._orig_mod)

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __getitem__(self, key: Any) -> Any:
        return self._orig_mod[key]  # type: ignore[index]
