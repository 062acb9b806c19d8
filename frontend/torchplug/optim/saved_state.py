"""The part of an optimizer that checkpoints see: `state_dict`, `load_state_dict`, and the hooks around them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from torchplug._core.hooks import RemovableHandle
from torchplug._core.tensor import Tensor
from torchplug_spec import dtypes as dt

__all__ = ["SavedState"]

_HOOKS = (
    "_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)  # fmt: skip


class SavedState:
    """State as a dict in PyTorch's form: parameters by their number, options by group."""

    state: defaultdict[Tensor, Any]
    param_groups: list[dict[str, Any]]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Any]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Any]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Any]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Any]
    __setstate__: Callable[[dict[str, Any]], None]

    def _make_state_hooks(self) -> None:
        for name in _HOOKS:
            self.__dict__.setdefault(name, OrderedDict())

    def state_dict(self) -> dict[str, Any]:
        """Returns {"state": state by parameter number, "param_groups": options with parameter numbers}.

        The tensors are the optimizer's own, not copies.
        """
        for hook in list(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        start = 0
        for group in self.param_groups:
            for number, p in enumerate(group["params"], start):
                numbers.setdefault(id(p), number)
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            start += len(packed["params"])
            groups.append(packed)
        state = {(numbers[id(p)] if isinstance(p, Tensor) else p): value for p, value in self.state.items()}
        packed_all: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            replaced = hook(self, packed_all)
            if replaced is not None:
                packed_all = replaced
        return packed_all

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` returned: options as they were saved, tensors on the devices of the parameters.

        Raises ValueError when the groups differ in number or size.
        """
        state_dict = state_dict.copy()
        for hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            replaced = hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced
        saved = deepcopy(state_dict["param_groups"])
        params = _matched(self.param_groups, saved)
        state: defaultdict[Any, Any] = defaultdict(dict)
        for number, value in state_dict["state"].items():
            if number in params:
                state[params[number]] = _moved(params[number], value, _options_of(number, saved))
            else:
                state[number] = value
        for group, loaded in zip(self.param_groups, saved, strict=True):
            loaded["params"] = group["params"]
            if "param_names" in group:
                loaded.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls `hook(optimizer)` before `state_dict`."""
        return self._add_state_hook(_HOOKS[0], hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls `hook(optimizer, state_dict)` after `state_dict`; what it returns (not None) is returned instead."""
        return self._add_state_hook(_HOOKS[1], hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls `hook(optimizer, state_dict)` with a shallow copy; what it returns (not None) is loaded instead."""
        return self._add_state_hook(_HOOKS[2], hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls `hook(optimizer)` after `load_state_dict`."""
        return self._add_state_hook(_HOOKS[3], hook, prepend)

    def _add_state_hook(self, name: str, hook: Any, prepend: bool) -> RemovableHandle:
        hooks = self.__dict__[name]
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle


def _matched(groups: list[dict[str, Any]], saved: list[dict[str, Any]]) -> dict[int, Tensor]:
    """Returns the parameter that each saved number stands for."""
    if len(groups) != len(saved):
        raise ValueError("loaded state dict has a different number of parameter groups")
    if any(len(group["params"]) != len(loaded["params"]) for group, loaded in zip(groups, saved, strict=True)):
        raise ValueError(
            "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
        )
    numbers = chain.from_iterable(loaded["params"] for loaded in saved)
    params = chain.from_iterable(group["params"] for group in groups)
    return dict(zip(numbers, params, strict=True))


def _options_of(number: int, saved: list[dict[str, Any]]) -> dict[str, Any]:
    return next((group for group in saved if number in group["params"]), {})


def _moved(param: Tensor, value: Any, options: dict[str, Any], key: Hashable = None) -> Any:
    """Returns a saved value with its tensors brought to the parameter's device and type; step counts keep their type."""
    if isinstance(value, Tensor):
        if key == "step":
            return _moved_step(param, value, options)
        dtype = param._kind.dtype if param._kind.dtype.is_floating_point else None
        return value.to(dtype=dtype, device=param.device)
    if isinstance(value, dict):
        return {name: _moved(param, item, options, name) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return type(value)(_moved(param, item, options) for item in value)  # type: ignore[call-arg]
    return value


def _moved_step(param: Tensor, step: Tensor, options: dict[str, Any]) -> Tensor:
    from torchplug.optim.counting import device_for_steps

    if options.get("capturable") or options.get("fused"):
        return step.to(dtype=dt.float32, device=param.device)
    return step.to(device=device_for_steps(param))
