"""Pruning: parameters multiplied by masks of zeros and ones before each call."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Any

from torchplug._core.tensor import Parameter, Tensor
from torchplug.autograd.grad_mode import no_grad
from torchplug.nn.modules.module import Module
from torchplug.nn.utils.convert_parameters import parameters_to_vector
from torchplug.ops.creation import empty, empty_like, ones_like, zeros_like

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
    "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned",
    "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip


class BasePruningMethod(abc.ABC):
    """A way to choose what is pruned, and the hook that multiplies by the mask before each call.

    Subclasses define `compute_mask` and PRUNING_TYPE: "unstructured" (single values), "structured" (whole slices) or
    "global" (a mask for all values).
    """

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abc.abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns a mask for the importances `t`, with zeros where `default_mask` has some already."""

    def apply_mask(self, module: Module) -> Tensor:
        """Returns the original parameter times the mask."""
        mask, original = (getattr(module, f"{self._tensor_name}_{part}") for part in ("mask", "orig"))
        return mask.to(original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Prunes `module.<name>`: it becomes <name>_orig times the buffer <name>_mask. Returns the hook."""
        former = _hook_of(module, name)
        method = cls(*args, **kwargs)
        method._tensor_name = name
        original = getattr(module, name)
        if not isinstance(original, Tensor):
            raise TypeError(f"ones_like(): argument 'input' (position 1) must be Tensor, not {type(original).__name__}")
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, got {scores.shape} vs "
                f"{original.shape}"
            )
        hook: BasePruningMethod = method
        if former is not None:
            key, hook = former
            if not isinstance(hook, PruningContainer):
                hook = PruningContainer(hook)
            hook.add_pruning_method(method)
            del module._forward_pre_hooks[key]
        with no_grad():
            default = getattr(module, f"{name}_mask", None)
            default = ones_like(original) if default is None else default.clone()
            mask = hook.compute_mask(scores.detach(), default)
        _install(module, name, original, mask)
        setattr(module, name, hook.apply_mask(module))
        module.register_forward_pre_hook(hook)
        return hook

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """Returns a pruned version of a tensor, without a module."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        default = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=default)

    def remove(self, module: Module) -> None:
        """Makes the pruned values the parameter for good."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(f"{name}_orig")
        if original is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        original.data = weight.data
        del module._buffers[f"{name}_mask"]
        module.register_parameter(name, original)


def _install(module: Module, name: str, original: Tensor, mask: Tensor) -> None:
    """Puts the original and the mask in place of a parameter, or only a new mask when it was pruned before."""
    if f"{name}_orig" not in module._parameters:
        if not isinstance(original, Parameter):
            raise AssertionError(f"Module {module} has no parameter named {name}")
        del module._parameters[name]
        module.register_parameter(f"{name}_orig", original)
    module.register_buffer(f"{name}_mask", mask)


def _hook_of(module: Module, name: str) -> tuple[int, Any] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None


class PruningContainer(BasePruningMethod):
    """Several pruning methods of one parameter, one after another; each prunes what the ones before have left."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Adds a method for the same parameter."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer "
                f"{self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)  # type: ignore[operator]

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        method: Any = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "global":
            return method.compute_mask(t, mask)
        if method.PRUNING_TYPE == "structured":
            places = self._slices_left(mask, method.dim).nonzero().squeeze(1)
            left = t.index_select(method.dim, places), mask.index_select(method.dim, places)
            return mask.index_copy(method.dim, places, method.compute_mask(*left).to(mask.dtype))
        if method.PRUNING_TYPE == "unstructured":
            kept = mask == 1
            partial = method.compute_mask(t[kept], mask[kept])
            return mask.masked_scatter(kept, partial.to(mask.dtype))
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")

    @staticmethod
    def _slices_left(mask: Tensor, dim: int) -> Tensor:
        """Returns which slices along a dimension are not all zero."""
        others = [place for place in range(mask.dim()) if place != dim % mask.dim()]
        return mask.sum(others) != 0


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes values at random: a share (float) or a number of them (int)."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        _check_amount(amount)
        self.amount = amount

    def _scores(self, t: Tensor) -> Tensor:
        return empty_like(t).uniform_()

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _number_to_prune(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            places = self._chosen(self._scores(t).reshape(-1), count)
            mask = mask.reshape(-1).index_fill(0, places, 0).reshape(mask.shape)
        return mask

    def _chosen(self, scores: Tensor, count: int) -> Tensor:
        return scores.topk(count)[1]


class L1Unstructured(RandomUnstructured):
    """Prunes the values of smallest magnitude: a share (float) or a number of them (int)."""

    def _scores(self, t: Tensor) -> Tensor:
        return t.abs()

    def _chosen(self, scores: Tensor, count: int) -> Tensor:
        return scores.topk(count, largest=False)[1]


class _Structured(BasePruningMethod):
    """Prunes whole slices along a dimension, all but those with the highest scores."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def _slices_kept(self, t: Tensor, count: int, pruned: int) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.dim() <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{t.shape} with {t.dim()} dims"
            )
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        count = t.shape[self.dim]
        pruned = _number_to_prune(self.amount, count)
        if not pruned:
            return default_mask
        kept = zeros_like(t).index_fill(self.dim, self._slices_kept(t, count, pruned), 1)
        return kept * default_mask.to(kept.dtype)


class RandomStructured(_Structured):
    """Prunes slices along a dimension at random: a share (float) or a number of them (int)."""

    def _slices_kept(self, t: Tensor, count: int, pruned: int) -> Tensor:
        chances = empty(count).uniform_()
        return (chances > chances.kthvalue(k=pruned)[0]).nonzero().squeeze(1).to(t.device)


class LnStructured(_Structured):
    """Prunes the slices along a dimension of smallest n-norm: a share (float) or a number of them (int)."""

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _slices_kept(self, t: Tensor, count: int, pruned: int) -> Tensor:
        others = [place for place in range(t.dim()) if place != self.dim % t.dim()]
        return t.norm(p=self.n, dim=others).topk(count - pruned)[1]


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}"
            )
        return default_mask * self.mask.to(default_mask.dtype)


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, (int, float)):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _number_to_prune(amount: float, size: int) -> int:
    if isinstance(amount, float):
        return round(amount * size)
    if amount > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
    return amount


def identity(module: Module, name: str) -> Module:
    """Prunes nothing of `module.<name>`, but gives it a mask of ones; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prunes values of `module.<name>` at random, a share (float) or a number (int) of them; returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Prunes the smallest values of `module.<name>`, a share (float) or a number (int); returns the module."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prunes slices of `module.<name>` along a dimension at random; returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the slices of `module.<name>` along a dimension of smallest n-norm; returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes `module.<name>` by a mask; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prunes several parameters together, as if they were one vector: the amount is shared among them."""
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    pairs, scores = list(parameters), importance_scores or {}
    tensors = [getattr(module, name) for module, name in pairs]
    values = parameters_to_vector([scores.get(pair, x) for pair, x in zip(pairs, tensors, strict=True)])
    masks = [getattr(module, f"{name}_mask", ones_like(x)) for (module, name), x in zip(pairs, tensors, strict=True)]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    mask, start = container.compute_mask(values.detach(), parameters_to_vector(masks)), 0
    for (module, name), x in zip(pairs, tensors, strict=True):
        custom_from_mask(module, name, mask[start : start + x.numel()].view_as(x))
        start += x.numel()


def remove(module: Module, name: str) -> Module:
    """Makes the pruned values of `module.<name>` the parameter for good; returns the module."""
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module: Module) -> bool:
    """Says whether the module, or one below it, has a pruned parameter."""
    return any(
        isinstance(hook, BasePruningMethod) for part in module.modules() for hook in part._forward_pre_hooks.values()
    )
