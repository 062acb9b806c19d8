"""Optimizer: parameter groups, hooks, and the state that checkpoints keep."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from torchplug._core import modes
from torchplug._core.hooks import RemovableHandle
from torchplug._core.node import AccumulateGrad
from torchplug._core.tensor import Tensor
from torchplug.optim.saved_state import SavedState

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
Closure = Callable[[], Any]


class _RequiredParameter:
    """The default of an option that every parameter group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()

_GLOBAL_PRE_HOOKS: OrderedDict[int, Any] = OrderedDict()
_GLOBAL_POST_HOOKS: OrderedDict[int, Any] = OrderedDict()


class Optimizer(SavedState):
    """Base of all optimizers: keeps groups of parameters with their options, and a state per parameter.

    `params` is an iterable of tensors, of (name, tensor) pairs, or of dicts with "params" and options of their own; `defaults`
    holds the options that groups do not give. A subclass defines `step`.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._optimizer_step_pre_hooks: OrderedDict[int, Any] = OrderedDict()
        self._optimizer_step_post_hooks: OrderedDict[int, Any] = OrderedDict()
        self._make_state_hooks()
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {_typename(params)}"
            )
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for place, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {place}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("_optimizer_step_pre_hooks", OrderedDict())
        self.__dict__.setdefault("_optimizer_step_post_hooks", OrderedDict())
        self._make_state_hooks()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    # ---- stepping ---------------------------------------------------------------------------------------------------

    def step(self, closure: Closure | None = None) -> Any:
        """Updates the parameters from their gradients; `closure` computes the loss anew and is what is returned."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or fills them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if getattr(p, "_grad", None) is None:
                    continue
                if set_to_none:
                    p._grad = None
                    continue
                if p.grad.grad_fn is not None:
                    p.grad.detach_()
                else:
                    p.grad.requires_grad_(False)
                p.grad.zero_()

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls `hook(optimizer, args, kwargs)` before each step; a pair it returns replaces the arguments."""
        return _add(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls `hook(optimizer, args, kwargs)` after each step."""
        return _add(self._optimizer_step_post_hooks, hook)

    @staticmethod
    def profile_hook_step(function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a step function that runs the hooks around `function`."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self = args[0]
            if not (
                _GLOBAL_PRE_HOOKS or _GLOBAL_POST_HOOKS
                or self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
            ):  # fmt: skip
                return function(*args, **kwargs)
            for hook in chain(list(_GLOBAL_PRE_HOOKS.values()), list(self._optimizer_step_pre_hooks.values())):
                replaced = hook(self, args, kwargs)
                if replaced is not None:
                    if not (isinstance(replaced, tuple) and len(replaced) == 2):
                        raise RuntimeError(
                            f"{function} must return None or a tuple of (new_args, new_kwargs), but got {replaced}."
                        )
                    args, kwargs = replaced
            out = function(*args, **kwargs)
            for hook in chain(list(self._optimizer_step_post_hooks.values()), list(_GLOBAL_POST_HOOKS.values())):
                hook(self, args, kwargs)
            return out

        return wrapper

    def _patch_step_function(self) -> None:
        """Puts the hooks around the class's `step`, once per class: a subclass writes a plain one."""
        cls: Any = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)
            cls.step.hooked = True

    # ---- parameter groups -------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: a dict with "params" (a tensor, a list of them, or of (name, tensor) pairs) and options.

        Raises TypeError or ValueError for what cannot be optimized, and for parameters of another group.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will "
                "change between runs. Please use a list instead."
            )
        param_group["params"] = [params] if isinstance(params, Tensor) else list(params)
        _separate_names(param_group)
        for p in param_group["params"]:
            self._check_parameter(p)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        self._check_group(param_group)
        self.param_groups.append(param_group)

    def _check_parameter(self, p: Any) -> None:
        if not isinstance(p, Tensor):
            raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {_typename(p)}")
        is_leaf = p._node is None or type(p._node) is AccumulateGrad
        if not self.defaults.get("differentiable") and not is_leaf and not p.retains_grad:
            raise ValueError("can't optimize a non-leaf Tensor")

    def _check_group(self, new: dict[str, Any]) -> None:
        params = new["params"]
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; see "
                "github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=4,
            )
        known: set[Tensor] = set()
        for group in self.param_groups:
            known.update(group["params"])
            if ("param_names" in new) != ("param_names" in group):
                having = "with names" if "param_names" in new else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {having} to the optimizer"
                )
        if not known.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")


def _separate_names(group: dict[str, Any]) -> None:
    names = [item[0] for item in group["params"] if isinstance(item, tuple)]
    if not names:
        return
    group["params"] = [item[1] if isinstance(item, tuple) else item for item in group["params"]]
    if len(names) != len(group["params"]):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    group["param_names"] = names


def _typename(value: Any) -> str:
    """Returns what PyTorch calls the type of a value: "torch.FloatTensor", "str", "torch.nn.Parameter"."""
    if isinstance(value, Tensor):
        return value.type()
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _add(hooks: OrderedDict[int, Any], hook: Any) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(optimizer, args, kwargs)` before each step of every optimizer."""
    return _add(_GLOBAL_PRE_HOOKS, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(optimizer, args, kwargs)` after each step of every optimizer."""
    return _add(_GLOBAL_POST_HOOKS, hook)


def run_closure(closure: Closure | None) -> Any:
    """Returns what a closure returns, computed with gradients on; None without one."""
    if closure is None:
        return None
    token = modes.grad_mode.set(modes.recording_mode())
    try:
        return closure()
    finally:
        modes.grad_mode.reset(token)
