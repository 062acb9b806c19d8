"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchplug._core.declare import DECLARATIONS
from torchplug._core.tensor import Tensor
from torchplug.autograd import enable_grad, no_grad
from torchplug.optim.checks import check_not_negative, check_tensor_lr
from torchplug.optim.line_search import Point, strong_wolfe
from torchplug.optim.optimizer import Optimizer, Params

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal, 1989) over all parameters as one vector; one group, one device.

    Each step needs a closure that computes the loss and its gradients anew, and calls it up to `max_eval` times. The state is
    kept with the first parameter: the last direction "d" and step "t", the history "old_dirs", "old_stps", "ro", "H_diag".
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]  # cannot do without a closure
        """Runs up to `max_iter` iterations; returns the loss before the first."""
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        state["func_evals"] += 1
        grad = self._flat_grad()
        if _largest(grad) <= group["tolerance_grad"]:
            return first_loss
        self._iterate(closure, group, state, float(first_loss), grad)
        return first_loss

    def _iterate(self, closure: Any, group: dict[str, Any], state: dict[str, Any], loss: float, grad: Any) -> None:
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            _turn(state, grad, group["history_size"])
            previous_loss = state["prev_loss"] = loss
            state["t"] = length = _first_length(grad, group["lr"]) if state["n_iter"] == 1 else _number(group["lr"])
            direction = state["d"]
            slope = grad.dot(direction)
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                point, used = self._search(closure, group, Point(0, loss, grad, slope), direction, length, evaluations)
                loss, grad, length = point.loss, point.grad, point.length
                state["t"] = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                if iteration != group["max_iter"]:
                    loss, grad, used = float(closure()), self._flat_grad(), 1
            evaluations += used
            state["func_evals"] += used
            if evaluations >= group["max_eval"] or _largest(grad) <= group["tolerance_grad"]:
                break
            if _largest(direction.mul(length)) <= group["tolerance_change"]:
                break
            if abs(loss - previous_loss) < group["tolerance_change"]:
                break

    def _search(
        self, closure: Any, group: dict[str, Any], start: Point, direction: Any, length: Any, evaluations: int
    ) -> tuple[Point, int]:
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        origin = [p.detach().clone() for p in self._params]

        def evaluate(length: Any) -> Point:
            self._move(length, direction)
            loss = float(closure())
            grad = self._flat_grad()
            for p, value in zip(self._params, origin, strict=True):
                p.copy_(value)
            return Point(length, loss, grad, grad.dot(direction))

        return strong_wolfe(evaluate, start, length, _largest(direction), group["max_eval"] - evaluations)

    def _flat_grad(self) -> Any:
        """Returns all gradients as one vector, complex ones as pairs of reals; zeros where there is none."""
        pieces = []
        for p in self._params:
            piece = p.new_zeros(p.numel()) if p.grad is None else p.grad.detach().reshape(-1)
            pieces.append(_real(piece).reshape(-1))
        return DECLARATIONS["cat"].function(pieces, 0)

    def _move(self, length: Any, direction: Any) -> None:
        start = 0
        for p in self._params:
            target = _real(p)
            stop = start + target.numel()
            target.add_(direction[start:stop].view(target.shape), alpha=_number(length))
            start = stop


def _real(x: Any) -> Any:
    return DECLARATIONS["view_as_real"].function(x) if x.is_complex() else x


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _largest(x: Any) -> Any:
    return x.abs().max()


def _first_length(grad: Any, lr: Any) -> Any:
    return min(1.0, 1.0 / grad.abs().sum()) * _number(lr)


def _turn(state: dict[str, Any], grad: Any, history_size: int) -> None:
    """Sets the direction: minus the gradient at first, then minus the approximate inverse Hessian times it."""
    if state["n_iter"] == 1:
        state.update(d=grad.neg(), old_dirs=[], old_stps=[], ro=[], H_diag=1)
    else:
        _remember(state, grad, history_size)
        state["d"] = _two_loops(state, grad, history_size)
    if state.get("prev_flat_grad") is None:
        state["prev_flat_grad"] = grad.clone()
    else:
        state["prev_flat_grad"].copy_(grad)


def _remember(state: dict[str, Any], grad: Any, history_size: int) -> None:
    change = grad.sub(state["prev_flat_grad"])
    step = state["d"].mul(_number(state["t"]))
    curvature = change.dot(step)
    if not curvature > 1e-10:
        return
    if len(state["old_dirs"]) == history_size:
        for name in ("old_dirs", "old_stps", "ro"):
            state[name].pop(0)
    state["old_dirs"].append(change)
    state["old_stps"].append(step)
    state["ro"].append(1.0 / curvature)
    state["H_diag"] = curvature / change.dot(change)


def _two_loops(state: dict[str, Any], grad: Any, history_size: int) -> Any:
    """Returns the product of minus the inverse Hessian with the gradient (Nocedal and Wright, algorithm 7.4)."""
    changes, steps, weights = state["old_dirs"], state["old_stps"], state["ro"]
    alphas = state.setdefault("al", [None] * history_size)
    direction = grad.neg()
    for place in reversed(range(len(changes))):
        alphas[place] = steps[place].dot(direction) * weights[place]
        direction.sub_(changes[place] * alphas[place])
    direction = direction.mul(state["H_diag"])
    for place in range(len(changes)):
        beta = changes[place].dot(direction) * weights[place]
        direction.add_(steps[place] * (alphas[place] - beta))
    return direction
