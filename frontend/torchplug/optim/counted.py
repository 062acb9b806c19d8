"""Optimizers that count steps and keep states shaped like the parameters: everything but SGD and LBFGS."""

from __future__ import annotations

from typing import Any

from torchplug._core.kind import Kind
from torchplug._core.tensor import Tensor, shape_of, wrap
from torchplug.optim.counting import advance, count_tensor
from torchplug.optim.optimizer import Closure, Optimizer, run_closure
from torchplug.optim.updating import Gathered, by_kind, hyperparameter, is_traced, update

__all__ = ["CountedOptimizer", "Hyperparameters", "full_like", "zeros_like"]

COMMON_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("foreach", None),
    ("maximize", False),
    ("differentiable", False),
    ("capturable", False),
)


class Hyperparameters(dict[str, Any]):
    """The options of a group as this step sees them: numbers, or 0-d tensors while compile traces. Each is read once."""

    def __init__(self, group: dict[str, Any], kind: Kind, traced: bool) -> None:
        self.group = group
        self.kind = kind
        self.traced = traced

    def __missing__(self, name: str) -> Any:
        differentiable = self.group["differentiable"]
        value = self[name] = hyperparameter(self.group, name, self.kind, self.traced, differentiable)
        return value


class _Batch:
    """Parameters whose step takes the same numbers."""

    __slots__ = ("grads", "params", "progress", "states")

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self.params: list[Tensor] = []
        self.grads: list[Tensor] = []
        self.states: list[dict[str, Any]] = []


class CountedOptimizer(Optimizer):
    """Base of optimizers whose step is one kernel over parameters, gradients and states of their shape.

    A subclass names its `kernel` and says, for a group, which states the kernel takes (`_state_names`), how they begin
    (`_start`), which numbers (`_numbers`) and which flags (`_flags`).
    """

    kernel: str
    later_options: tuple[tuple[str, Any], ...] = COMMON_OPTIONS
    """Options that old checkpoints lack, with the values they meant."""

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        raise NotImplementedError

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        raise NotImplementedError

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        raise NotImplementedError

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """Returns the state of a parameter before its first step."""
        return {"step": count_tensor(p, group)} | {name: zeros_like(p) for name in self._state_names(group)}

    def _progress(self, state: dict[str, Any], given: Hyperparameters) -> Any:
        """Counts a step of one parameter; returns the count. Parameters of equal progress step together."""
        return advance(state["step"], given.traced)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.later_options:
                group.setdefault(name, value)
            for p in group["params"]:
                saved = self.state.get(p)
                if saved and "step" in saved and not isinstance(saved["step"], Tensor):
                    saved["step"] = count_tensor(p, group, float(saved["step"]))

    def step(self, closure: Closure | None = None) -> Any:
        """Updates the parameters from their gradients; returns what `closure`, called first with gradients on, returns."""
        loss = run_closure(closure)
        for group in self.param_groups:
            for gathered in by_kind(group):
                self._step(group, gathered)
        return loss

    def _step(self, group: dict[str, Any], gathered: Gathered) -> None:
        given = Hyperparameters(group, gathered.kind, is_traced(gathered))
        names = self._state_names(group)
        flags = self._flags(group)
        for batch in self._batches(group, gathered, given):
            states = [state[name] for name in names for state in batch.states]
            numbers = self._numbers(batch.progress, given)
            update(
                self.kernel, gathered.kind, batch.params, batch.grads, states, numbers, flags, group["differentiable"]
            )

    def _batches(self, group: dict[str, Any], gathered: Gathered, given: Hyperparameters) -> list[_Batch]:
        batches: dict[Any, _Batch] = {}
        for p, g in zip(gathered.params, gathered.grads, strict=True):
            state = self.state[p]
            if not state:
                state.update(self._start(p, group))
            progress = self._progress(state, given)
            key = id(p) if given.traced else progress
            batch = batches.get(key)
            if batch is None:
                batch = batches[key] = _Batch(progress)
            batch.params.append(p)
            batch.grads.append(g)
            batch.states.append(state)
        return list(batches.values())


def zeros_like(p: Tensor) -> Tensor:
    """Returns zeros of a parameter's shape and kind."""
    return full_like(p, 0)


def full_like(p: Tensor, value: complex) -> Tensor:
    """Returns a tensor of a parameter's shape and kind, filled with a number (both parts of it, for complex parameters)."""
    kind = p._kind
    if kind.dtype.is_complex and value:
        value = complex(value.real, value.real)
    return wrap(kind.F.full(shape_of(p), value, kind.dtype, kind.native_device), kind)
