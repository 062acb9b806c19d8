"""state_dict and load_state_dict: the values of a module under dotted names."""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torchplug._core.hooks import RemovableHandle
from torchplug._core.tensor import Parameter, Tensor
from torchplug.autograd.grad_mode import no_grad
from torchplug.nn.parameter import is_lazy

if TYPE_CHECKING:
    from torchplug.nn.modules.module import Module

__all__ = [
    "EXTRA_STATE", "get_extra_state", "load_from_state_dict", "load_state_dict",
    "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook", "register_old_load_state_dict_pre_hook",
    "register_old_state_dict_hook", "register_state_dict_post_hook", "register_state_dict_pre_hook",
    "save_to_state_dict", "set_extra_state", "state_dict",
]  # fmt: skip

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(NamedTuple):
    """What load_state_dict found missing in the given state, and what it did not expect there."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r})"


# ---- saving ----------------------------------------------------------------------------------------------------------


def state_dict(self: Module, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
    """Returns an ordered dictionary of parameters and persistent buffers under dotted names, detached unless keep_vars.

    The values share memory with the module. `destination` is filled and returned if given; its attribute `_metadata`
    records the version of every module's class.
    """
    if args:
        warnings.warn(
            "Positional args are being deprecated, use kwargs instead. Refer to "
            "https://pytorch.org/docs/main/generated/torch.nn."
            "Module.html#torch.nn.Module.state_dict for details.", FutureWarning, stacklevel=2)  # fmt: skip
        given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
        destination = given.get("destination") if destination is None else destination
        prefix = prefix or given.get("prefix", "")
        keep_vars = keep_vars or given.get("keep_vars", False)
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    metadata = {"version": self._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = metadata
    for hook in self._state_dict_pre_hooks.values():
        hook(self, prefix, keep_vars)
    self._save_to_state_dict(destination, prefix, keep_vars)
    for name, module in self._modules.items():
        if module is not None:
            module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    return _after_saving(self, destination, prefix, metadata)


def _after_saving(module: Module, destination: Any, prefix: str, metadata: dict[str, Any]) -> Any:
    for hook in module._state_dict_hooks.values():
        returned = hook(module, destination, prefix, metadata)
        if getattr(hook, "_from_public_api", False):
            if returned is not None:
                raise RuntimeError("state_dict post-hook must return None")
        elif returned is not None:
            destination = returned
    return destination


def save_to_state_dict(self: Module, destination: Any, prefix: str, keep_vars: bool) -> None:
    """Puts this module's own parameters, persistent buffers and extra state into `destination`."""
    for name, tensor in _own_state(self):
        destination[prefix + name] = tensor if keep_vars or is_lazy(tensor) else tensor.detach()
    if _has_extra_state(self, "get_extra_state"):
        destination[prefix + EXTRA_STATE] = self.get_extra_state()


def _own_state(module: Module) -> list[tuple[str, Tensor]]:
    hidden = module._non_persistent_buffers_set
    members: list[tuple[str, Any]] = [*module._parameters.items()]
    members += [(name, buffer) for name, buffer in module._buffers.items() if name not in hidden]
    return [(name, tensor) for name, tensor in members if tensor is not None]


def _has_extra_state(module: Module, method: str) -> bool:
    from torchplug.nn.modules.module import Module

    return getattr(type(module), method) is not getattr(Module, method)


_NEVER_CALLED = (
    "Reached a code path in Module.{}() that should never be called. Please file an issue at "
    "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml to report this bug."
)


def get_extra_state(self: Module) -> Any:
    """Returns what else a module saves in its state_dict; to be overridden."""
    raise RuntimeError(_NEVER_CALLED.format("get_extra_state"))


def set_extra_state(self: Module, state: Any) -> None:
    """Takes what `get_extra_state` returned when the state was saved; to be overridden."""
    raise RuntimeError(_NEVER_CALLED.format("set_extra_state"))


# ---- loading ---------------------------------------------------------------------------------------------------------


def load_state_dict(
    self: Module, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
) -> _IncompatibleKeys:
    """Copies a state into the parameters and buffers of this module and all below it; returns what did not match.

    `strict` raises RuntimeError when keys are missing or unexpected; shapes must match in any case. `assign` puts the
    given tensors in place of the module's own, dtype and device included, instead of copying into them.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    loading = _Loading(strict, assign, getattr(state_dict, "_metadata", None))
    state: Any = OrderedDict(state_dict)
    if loading.metadata is not None:
        state._metadata = loading.metadata
    loading.load(self, state, "")
    errors = loading.errors
    if strict:
        errors[:0] = _strict_errors(loading.missing, loading.unexpected)
    if errors:
        raise RuntimeError(
            "Error(s) in loading state_dict for {}:\n\t{}".format(type(self).__name__, "\n\t".join(errors))
        )
    return _IncompatibleKeys(loading.missing, loading.unexpected)


def _strict_errors(missing: list[str], unexpected: list[str]) -> list[str]:
    return [
        "{} key(s) in state_dict: {}. ".format(what, ", ".join(f'"{key}"' for key in keys))
        for what, keys in (("Missing", missing), ("Unexpected", unexpected))
        if keys
    ]


class _Loading:
    """One call of load_state_dict: what was asked, and what it has found on its way through the modules."""

    def __init__(self, strict: bool, assign: bool, metadata: Any) -> None:
        self.strict = strict
        self.assign = assign
        self.metadata = metadata
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def load(self, module: Module, state: Any, prefix: str) -> None:
        # A copy: the flag of this call must not stay in the caller's metadata.
        local = {} if self.metadata is None else dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            local["assign_to_params_buffers"] = True
        module._load_from_state_dict(state, prefix, local, True, self.missing, self.unexpected, self.errors)
        for name, child in module._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                self.load(child, {key: value for key, value in state.items() if key.startswith(below)}, below)
        found = _IncompatibleKeys(self.missing, self.unexpected)
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, found) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                    "values, if incompatible_keys need to be modified, it should be done inplace."
                )


def load_from_state_dict(
    self: Module,
    state_dict: Any,
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Loads this module's own entries; adds to the three lists what went wrong.

    Subclasses override it to read old formats.
    """
    for hook in self._load_state_dict_pre_hooks.values():
        hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
    own = dict(_own_state(self))
    assign = local_metadata.get("assign_to_params_buffers", False)
    for name, target in own.items():
        key = prefix + name
        if key not in state_dict:
            if strict:
                missing_keys.append(key)
            continue
        message = _load_one(self, name, key, target, state_dict[key], assign)
        if message:
            error_msgs.append(message)
    _load_extra_state(self, state_dict, prefix, strict, missing_keys, unexpected_keys)
    if strict:
        unexpected_keys += _unexpected(self, state_dict, prefix, own)


def _load_one(module: Module, name: str, key: str, target: Tensor, value: Any, assign: bool) -> str | None:
    """Copies (or assigns) one value; returns the error text when it does not fit."""
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
            f"checkpoint but received {type(value)}"
        )
    lazy = is_lazy(target)
    if not lazy and target.dim() == 0 and value.dim() == 1 and len(value) == 1:
        # Scalars of PyTorch before 0.4 were saved with one dimension.
        value = value[0]
    if not lazy and value.shape != target.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the shape in "
            f"current model is {target.shape}."
        )
    try:
        with no_grad():
            if assign:
                _assign(module, name, target, value)
            else:
                target.copy_(value)
    except Exception as error:
        return (
            f'While copying the parameter named "{key}", whose dimensions in the model are {target.size()} and '
            f"whose dimensions in the checkpoint are {value.size()}, an exception occurred : {error.args}."
        )
    return None


def _assign(module: Module, name: str, target: Tensor, value: Tensor) -> None:
    if isinstance(target, Parameter):
        requires_grad = target.requires_grad
        value = value.requires_grad_(requires_grad) if isinstance(value, Parameter) else Parameter(value, requires_grad)
    setattr(module, name, value)


def _load_extra_state(
    module: Module, state_dict: Any, prefix: str, strict: bool, missing_keys: list[str], unexpected_keys: list[str]
) -> None:
    key = prefix + EXTRA_STATE
    if _has_extra_state(module, "set_extra_state"):
        if key in state_dict:
            module.set_extra_state(state_dict[key])
        elif strict:
            missing_keys.append(key)
    elif strict and key in state_dict:
        unexpected_keys.append(key)


def _unexpected(module: Module, state_dict: Any, prefix: str, own: Mapping[str, Any]) -> list[str]:
    found = []
    for key in state_dict:
        if not key.startswith(prefix) or key == prefix + EXTRA_STATE:
            continue
        name, dot, _ = key[len(prefix) :].partition(".")
        if name not in (module._modules if dot else own):
            found.append(key)
    return found


# ---- hooks -----------------------------------------------------------------------------------------------------------


class WrappedHook:
    """A hook that may be called with its module first; holds the module weakly and follows it through copies."""

    def __init__(self, hook: Callable[..., Any], module: Module | None = None) -> None:
        self.hook = hook
        self.with_module = module is not None
        self.module = None if module is None else weakref.ref(module)

    def __call__(self, *args: Any) -> Any:
        if self.module is None:
            return self.hook(*args)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args)

    def __reduce__(self) -> Any:
        return WrappedHook, (self.hook, None if self.module is None else self.module())


def _add(hooks: OrderedDict[int, Any], hook: Any) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def register_state_dict_pre_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, prefix, keep_vars)` before state_dict reads the module."""
    return _add(self._state_dict_pre_hooks, hook)


def register_state_dict_post_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, state_dict, prefix, local_metadata)` after state_dict; it may change the dictionary in
    place.
    """
    hook._from_public_api = True  # type: ignore[attr-defined]
    return _add(self._state_dict_hooks, hook)


def register_old_state_dict_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Like register_state_dict_post_hook, but what the hook returns (not None) becomes the result."""
    if getattr(hook, "_from_public_api", False):
        raise RuntimeError(
            "Cannot register the same function as the state dict post hook that was previously registered via "
            "register_state_dict_post_hook"
        )
    return _add(self._state_dict_hooks, hook)


def register_load_state_dict_pre_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`
    before
    the module's own entries are loaded."""
    return self._register_load_state_dict_pre_hook(hook, with_module=True)


def register_old_load_state_dict_pre_hook(
    self: Module, hook: Callable[..., Any], with_module: bool = False
) -> RemovableHandle:
    """Like register_load_state_dict_pre_hook; the module is passed only with_module."""
    return _add(self._load_state_dict_pre_hooks, WrappedHook(hook, self if with_module else None))


def register_load_state_dict_post_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Calls `hook(module, incompatible_keys)` after loading; it may change the lists in place."""
    return _add(self._load_state_dict_post_hooks, hook)
