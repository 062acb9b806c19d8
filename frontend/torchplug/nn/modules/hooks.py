"""Hooks of modules: registering them, on one module or on all, and calling a module that has some."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torchplug._core.hooks import NodeHooks, RemovableHandle
from torchplug._core.node import Output
from torchplug._core.tensor import Tensor
from torchplug.nn.modules.backward_gate import BackwardGate
from torchplug.nn.modules.changes import ON_REMOVAL, count_change

if TYPE_CHECKING:
    from torchplug.nn.modules.module import Module

__all__ = [
    "GLOBAL", "HookedCall", "register_backward_hook", "register_forward_hook", "register_forward_pre_hook",
    "register_full_backward_hook", "register_full_backward_pre_hook", "register_module_backward_hook",
    "register_module_buffer_registration_hook", "register_module_forward_hook", "register_module_forward_pre_hook",
    "register_module_full_backward_hook", "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook", "register_module_parameter_registration_hook",
]  # fmt: skip

Hooks = OrderedDict[int, Any]


class _GlobalHooks:
    """The hooks of all modules; `active` says whether any call hook was ever registered: calls need not look else."""

    def __init__(self) -> None:
        self.active = False
        self.forward_pre: Hooks = OrderedDict()
        self.forward: Hooks = OrderedDict()
        self.with_kwargs: Hooks = OrderedDict()
        self.always_called: Hooks = OrderedDict()
        self.backward_pre: Hooks = OrderedDict()
        self.backward: Hooks = OrderedDict()
        self.is_full: bool | None = None
        self.parameter_registration: Hooks = OrderedDict()
        self.buffer_registration: Hooks = OrderedDict()
        self.module_registration: Hooks = OrderedDict()


GLOBAL = _GlobalHooks()


def _add(hooks: Hooks, hook: Any, *flags: Hooks, prepend: bool = False) -> RemovableHandle:
    """Files a hook, marks it in the dictionaries `flags`, and returns the handle that undoes both."""
    handle = RemovableHandle(hooks, extra_dict=[*flags, ON_REMOVAL])
    hooks[handle.id] = hook
    for flag in flags:
        flag[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    count_change()
    return handle


def _add_global(hooks: Hooks, hook: Any, *flags: Hooks) -> RemovableHandle:
    GLOBAL.active = True
    return _add(hooks, hook, *flags)


# ---- on one module ---------------------------------------------------------------------------------------------------


def register_forward_pre_hook(
    self: Module, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
) -> RemovableHandle:
    """Calls `hook(module, args)` before forward; with_kwargs: `hook(module, args, kwargs)`.

    What it returns (not None) replaces the arguments: a value or tuple; with_kwargs a pair (args, kwargs).
    """
    flags = (self._forward_pre_hooks_with_kwargs,) if with_kwargs else ()
    return _add(self._forward_pre_hooks, hook, *flags, prepend=prepend)


def register_forward_hook(
    self: Module,
    hook: Callable[..., Any],
    *,
    prepend: bool = False,
    with_kwargs: bool = False,
    always_call: bool = False,
) -> RemovableHandle:
    """Calls `hook(module, args, output)` after forward; with_kwargs: `hook(module, args, kwargs, output)`.

    What it returns (not None) replaces the output. `always_call` runs it even if forward raises (output is None then).
    """
    flags = (self._forward_hooks_with_kwargs,) if with_kwargs else ()
    always = (self._forward_hooks_always_called,) if always_call else ()
    return _add(self._forward_hooks, hook, *flags, *always, prepend=prepend)


def register_full_backward_pre_hook(self: Module, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    """Calls `hook(module, grad_output)` when gradients of the outputs arrive; what it returns replaces them."""
    return _add(self._backward_pre_hooks, hook, prepend=prepend)


_BOTH_KINDS = (
    "Cannot use both regular backward hooks and full backward hooks on a single Module. Please use only one of them."
)
_BOTH_GLOBAL_KINDS = (
    "Cannot use both regular backward hooks and full backward hooks as a global Module hook. Please use only one of "
    "them."
)


def register_full_backward_hook(self: Module, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    """Calls `hook(module, grad_input, grad_output)` when gradients of the inputs are computed.

    What it returns (not None) replaces grad_input. Gradients are tuples, None for arguments that are no tensors.
    """
    if self._is_full_backward_hook is False:
        raise RuntimeError(_BOTH_KINDS)
    self._is_full_backward_hook = True
    return _add(self._backward_hooks, hook, prepend=prepend)


def register_backward_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Like register_full_backward_hook, but sees only the last node of forward. Deprecated in PyTorch."""
    if self._is_full_backward_hook is True:
        raise RuntimeError(_BOTH_KINDS)
    self._is_full_backward_hook = False
    return _add(self._backward_hooks, hook)


# ---- on all modules --------------------------------------------------------------------------------------------------


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, args)` before forward of every module."""
    return _add_global(GLOBAL.forward_pre, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Calls `hook(module, args, output)` after forward of every module; flags as in Module.register_forward_hook."""
    flags = (GLOBAL.with_kwargs,) if with_kwargs else ()
    always = (GLOBAL.always_called,) if always_call else ()
    return _add_global(GLOBAL.forward, hook, *flags, *always)


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, grad_input, grad_output)` in backward of every module, seeing its last node only."""
    if GLOBAL.is_full is True:
        raise RuntimeError(_BOTH_GLOBAL_KINDS)
    GLOBAL.is_full = False
    return _add_global(GLOBAL.backward, hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, grad_output)` in backward of every module."""
    return _add_global(GLOBAL.backward_pre, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, grad_input, grad_output)` in backward of every module."""
    if GLOBAL.is_full is False:
        raise RuntimeError(_BOTH_GLOBAL_KINDS)
    GLOBAL.is_full = True
    return _add_global(GLOBAL.backward, hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, name, parameter)` when a parameter is registered; what it returns takes its place."""
    return _add(GLOBAL.parameter_registration, hook)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, name, buffer)` when a buffer is registered; what it returns takes its place."""
    return _add(GLOBAL.buffer_registration, hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, name, submodule)` when a submodule is registered; what it returns takes its place."""
    return _add(GLOBAL.module_registration, hook)


# ---- a call with hooks -----------------------------------------------------------------------------------------------


class HookedCall:
    """One call of a module that has hooks: what came in, what came out, and which always-called hooks have run."""

    __slots__ = ("args", "kwargs", "module", "result", "seen")

    def __init__(self, module: Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.result: Any = None
        self.seen: set[int] = set()

    def run(self) -> Any:
        """Returns the output after all hooks."""
        try:
            return self._run()
        except Exception:
            self._run_left_over()
            raise

    def _run(self) -> Any:
        module = self.module
        self._run_pre_hooks()
        gate = self._gate()
        if gate is not None:
            self.args = gate.on_inputs(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        for key, hook in (*GLOBAL.forward.items(), *module._forward_hooks.items()):
            if self._is_always_called(key):
                self.seen.add(key)
            self._run_forward_hook(key, hook)
        if gate is not None:
            if not isinstance(self.result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                    "received "
                    f"{type(self.result)}", stacklevel=4)  # fmt: skip
            self.result = gate.on_outputs(self.result)
        self._hang_on_last_node()
        return self.result

    def _run_pre_hooks(self) -> None:
        module = self.module
        for key, hook in (*GLOBAL.forward_pre.items(), *module._forward_pre_hooks.items()):
            if key in module._forward_pre_hooks_with_kwargs:
                replaced = hook(module, self.args, self.kwargs)
                if replaced is None:
                    continue
                if not isinstance(replaced, tuple) or len(replaced) != 2:
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {replaced}."
                    )
                self.args, self.kwargs = replaced
            else:
                replaced = hook(module, self.args)
                if replaced is not None:
                    self.args = replaced if isinstance(replaced, tuple) else (replaced,)

    def _run_forward_hook(self, key: int, hook: Any) -> None:
        module = self.module
        if key in module._forward_hooks_with_kwargs or key in GLOBAL.with_kwargs:
            replaced = hook(module, self.args, self.kwargs, self.result)
        else:
            replaced = hook(module, self.args, self.result)
        if replaced is not None:
            self.result = replaced

    def _is_always_called(self, key: int) -> bool:
        return key in self.module._forward_hooks_always_called or key in GLOBAL.always_called

    def _run_left_over(self) -> None:
        """After an error, runs the always-called hooks that have not run; what they raise becomes a warning."""
        module = self.module
        for owner, hooks in (("global module", GLOBAL.forward), ("module", module._forward_hooks)):
            for key, hook in list(hooks.items()):
                if not self._is_always_called(key) or key in self.seen:
                    continue
                try:
                    self._run_forward_hook(key, hook)
                except Exception as error:
                    warnings.warn(
                        f"{owner} forward hook with ``always_call=True`` raised an exception that was silenced as "
                        "another "
                        f"error was raised in forward: {error}", stacklevel=4)  # fmt: skip

    def _gate(self) -> BackwardGate | None:
        module = self.module
        full = [*GLOBAL.backward.values()] if GLOBAL.is_full is True else []
        if module._is_full_backward_hook is True:
            full += module._backward_hooks.values()
        pre = [*GLOBAL.backward_pre.values(), *module._backward_pre_hooks.values()]
        return BackwardGate(module, full, pre) if full or pre else None

    def _hang_on_last_node(self) -> None:
        """Serves `register_backward_hook`: hooks on the node that made the (first) output."""
        module = self.module
        hooks = [*GLOBAL.backward.values()] if GLOBAL.is_full is False else []
        if module._is_full_backward_hook is False:
            hooks += module._backward_hooks.values()
        if not hooks:
            return
        edge = _first_tensor(self.result)._node
        node = edge.node if type(edge) is Output else edge
        if not getattr(node, "edges", ()):
            return
        for hook in hooks:
            NodeHooks.of(node).add_post(_bound(hook, module))
        message = _missing_gradients(self.args, self.result, node)
        if message:
            warnings.warn(message, FutureWarning, stacklevel=4)


def _bound(hook: Callable[..., Any], module: Module) -> Callable[..., Any]:
    return lambda grad_input, grad_output: hook(module, grad_input, grad_output)


def _first_tensor(value: Any) -> Tensor:
    while not isinstance(value, Tensor):
        if isinstance(value, dict):
            value = next(item for item in value.values() if isinstance(item, Tensor))
        else:
            value = value[0]
    return value


_REMOVED = "is deprecated and will be removed in future versions. This hook will be missing some"
_USE_FULL = "Please use register_full_backward_hook to get the documented behavior."


def _missing_gradients(inputs: Any, result: Any, node: Any) -> str | None:
    """Returns PyTorch's warning about what a hook on the last node does not see, None when it sees all."""
    outputs = _tensors(result)
    if outputs is None:
        return (
            "Using non-full backward hooks on a Module that does not return a single Tensor or a tuple of Tensors "
            f"{_REMOVED} of the grad_output. {_USE_FULL}"
        )
    taken = _tensors(inputs)
    if taken is None:
        return (
            "Using non-full backward hooks on a Module that does not take as input a single Tensor or a tuple of "
            f"Tensors {_REMOVED} of the grad_input. {_USE_FULL}"
        )
    if {x.grad_fn for x in outputs if x.grad_fn is not None} != {node}:
        return (
            f"Using a non-full backward hook when outputs are generated by different autograd Nodes {_REMOVED} "
            f"grad_output. {_USE_FULL}"
        )
    if {x.grad_fn for x in taken if x.grad_fn is not None} != {place[0] for place in node.next_functions}:
        return (
            f"Using a non-full backward hook when the forward contains multiple autograd Nodes {_REMOVED} grad_input. "
            f"{_USE_FULL}"
        )
    return None


def _tensors(value: Any) -> tuple[Tensor, ...] | None:
    values = value if isinstance(value, tuple) else (value,)
    return values if all(isinstance(item, Tensor) for item in values) else None
