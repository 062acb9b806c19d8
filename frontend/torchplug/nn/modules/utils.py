"""PyTorch's private names for sizes per dimension, which layers outside PyTorch import, and one for state_dicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchplug.nn.modules.per_dimension import per_dimension

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    def parse(x: Any) -> tuple[Any, ...]:
        return per_dimension(x, n)

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = (
    _ntuple(1, "_single"),
    _ntuple(2, "_pair"),
    _ntuple(3, "_triple"),
    _ntuple(4, "_quadruple"),
)


def _reverse_repeat_tuple(t: Sequence[int], n: int) -> tuple[int, ...]:
    return tuple(x for x in reversed(t) for _ in range(n))


def _list_with_default(out_size: Any, defaults: Sequence[int]) -> Any:
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    return [own if own is not None else given for own, given in zip(out_size, defaults[-len(out_size) :], strict=True)]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Removes a prefix ("module.") from the keys of a state, in place; used for states saved from a wrapped module."""
    for key in list(state_dict):
        if key.startswith(prefix):
            state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata: Any = getattr(state_dict, "_metadata", {})
    for key in list(metadata):
        if key == prefix.rstrip("."):
            metadata.setdefault("", metadata.pop(key))
        elif key.startswith(prefix):
            metadata[key[len(prefix) :]] = metadata.pop(key)
