"""Walking over a module's parameters, buffers and submodules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torchplug._core.tensor import Parameter, Tensor

if TYPE_CHECKING:
    from torchplug.nn.modules.module import Module

__all__ = [
    "buffers", "children", "get_buffer", "get_parameter", "get_submodule", "modules", "named_buffers", "named_children",
    "named_members", "named_modules", "named_parameters", "parameters", "set_submodule",
]  # fmt: skip


def named_modules(
    self: Module, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
) -> Iterator[tuple[str, Module]]:
    """Yields (name, module) for this module (named by the prefix) and all below it, depth first.

    A module reached twice is yielded once unless remove_duplicate is False.
    """
    if memo is None:
        memo = set()
    if self in memo:
        return
    if remove_duplicate:
        memo.add(self)
    yield prefix, self
    for name, module in self._modules.items():
        if module is not None:
            yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)


def modules(self: Module, remove_duplicate: bool = True) -> Iterator[Module]:
    """Yields this module and all below it."""
    for _, module in self.named_modules(remove_duplicate=remove_duplicate):
        yield module


def named_children(self: Module) -> Iterator[tuple[str, Module]]:
    """Yields (name, module) for the direct submodules, each once."""
    seen = set()
    for name, module in self._modules.items():
        if module is not None and module not in seen:
            seen.add(module)
            yield name, module


def children(self: Module) -> Iterator[Module]:
    """Yields the direct submodules, each once."""
    for _, module in self.named_children():
        yield module


def named_members(
    self: Module,
    get_members_fn: Callable[[Module], Iterable[tuple[str, Any]]],
    prefix: str = "",
    recurse: bool = True,
    remove_duplicate: bool = True,
) -> Iterator[tuple[str, Any]]:
    """Yields (full name, member) for what `get_members_fn(module)` lists, over all modules, without None."""
    seen: set[Any] = set()
    owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
    for owner, module in owners:
        for name, member in get_members_fn(module):
            if member is None or member in seen:
                continue
            if remove_duplicate:
                seen.add(member)
            yield f"{owner}.{name}" if owner else name, member


def named_parameters(
    self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Parameter]]:
    """Yields (name, parameter), of this module and, with recurse, of all below it."""
    yield from self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)


def parameters(self: Module, recurse: bool = True) -> Iterator[Parameter]:
    """Yields the parameters, each once; what optimizers are given."""
    for _, parameter in self.named_parameters(recurse=recurse):
        yield parameter


def named_buffers(
    self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Tensor]]:
    """Yields (name, buffer), of this module and, with recurse, of all below it."""
    yield from self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)


def buffers(self: Module, recurse: bool = True) -> Iterator[Tensor]:
    """Yields the buffers, each once."""
    for _, buffer in self.named_buffers(recurse=recurse):
        yield buffer


def _step_down(module: Module, name: str) -> Module:
    from torchplug.nn.modules.module import Module

    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    child = getattr(module, name)
    if not isinstance(child, Module):
        raise AttributeError(f"`{name}` is not an nn.Module")
    return child


def get_submodule(self: Module, target: str) -> Module:
    """Returns the module of a dotted name ("layers.0.conv"); itself for "". Raises AttributeError if there is none."""
    module = self
    for name in target.split(".") if target else ():
        module = _step_down(module, name)
    return module


def set_submodule(self: Module, target: str, module: Module, strict: bool = False) -> None:
    """Puts `module` at a dotted name; with strict, only where a module is already."""
    from torchplug.nn.modules.module import Module

    if not target:
        raise ValueError("Cannot set the submodule without a target name!")
    path, _, name = target.rpartition(".")
    if not isinstance(module, Module):
        raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
    parent = self.get_submodule(path)
    if strict and not hasattr(parent, name):
        raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
    if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
        raise AttributeError(f"`{name}` is not an nn.Module")
    setattr(parent, name, module)


def _owner_of(module: Module, target: str) -> tuple[Module, str]:
    path, _, name = target.rpartition(".")
    owner = module.get_submodule(path)
    if not hasattr(owner, name):
        raise AttributeError(f"{owner._get_name()} has no attribute `{name}`")
    return owner, name


def get_parameter(self: Module, target: str) -> Parameter:
    """Returns the parameter of a dotted name. Raises AttributeError if there is none."""
    owner, name = _owner_of(self, target)
    found = getattr(owner, name)
    if not isinstance(found, Parameter):
        raise AttributeError(f"`{name}` is not an nn.Parameter")
    return found


def get_buffer(self: Module, target: str) -> Tensor:
    """Returns the buffer of a dotted name. Raises AttributeError if there is none."""
    owner, name = _owner_of(self, target)
    if name not in owner._buffers:
        raise AttributeError(f"`{name}` is not a buffer")
    return getattr(owner, name)
